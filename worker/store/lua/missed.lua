-- missed: a forward GET told nothing; too many in a row fail the step.
-- ARGV  3 host, 4 id of this probe, 5 reason, 6 outcome if the step is to fail at once (or ''), 7 most misses
-- Returns  aborted | done + outcome | failed + reason | missed + how many in a row
-- Atomic, because the count and the outcome that follows from it belong together.
local op, refused = load_operation()
if refused then return refused end
if not op or op.ended or op.decision then return { 'aborted' } end
local host = ARGV[3]
local step = load_step(host)
if not step then return { 'aborted' } end
if step.outcome then
  -- A repeated call hears again that it failed the step; never that a step failed which another run brought to success.
  local failed = step.outcome ~= 'applied' and step.outcome ~= 'unchanged'
  if failed and step.miss_id == ARGV[4] then return { 'failed', step.reason } end
  return { 'done', step.outcome }
end
if step.miss_id ~= ARGV[4] then -- the same probe is counted once, however often this call is repeated
  step.miss_id = ARGV[4]
  step.misses = (step.misses or 0) + 1
end
step.reason = ARGV[5]
if ARGV[6] ~= '' or step.misses >= tonumber(ARGV[7]) then
  local outcome = ARGV[6] ~= '' and ARGV[6] or 'unreachable'
  set_outcome(host, step, next(step.attempts) and 'unknown' or outcome, ARGV[5])
  save_step(host)
  progressed(op)
  announce('step', host)
  return { 'failed', step.reason }
end
save_step(host)
progressed(op)
announce('miss', host)
return { 'missed', tostring(step.misses) }
