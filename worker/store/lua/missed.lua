-- missed: a forward GET told nothing. The step fails once its host has been without a usable answer for too long, or
-- once the operation's retries are spent; until then its time is the operation's deadline.
-- ARGV  3 host, 4 fingerprint of the URL that was asked, 5 id of this probe, 6 reason,
--       7 what it says of the host (answered | unusable | unasked), 8 outcome if the step is to fail at once (or ''),
--       9 how long a host may be without a usable answer (ms)
-- Returns  aborted | elsewhere + the fingerprint in the record | done + outcome | failed + reason | missed + how many in a row + ms to the deadline
-- Atomic, because the count and the outcome that follows from it belong together.
local op, refused = load_operation()
if refused then return refused end
if not op or op.ended or op.decision then return { 'aborted' } end
local host, id, reason, miss, fatal = ARGV[3], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local step = load_step(host)
if not step then return { 'aborted' } end
if miss ~= 'unasked' and step.fingerprint ~= ARGV[4] then return { 'elsewhere', step.fingerprint } end
if step.outcome then
  -- A repeated call hears again that it failed the step; never that a step failed which another run brought to success.
  local failed = step.outcome ~= 'applied' and step.outcome ~= 'unchanged'
  if failed and step.miss_id == id then return { 'failed', step.reason } end
  return { 'done', step.outcome }
end
if miss == 'unasked' then
  step.silent_at = nil -- the time until somebody asks the host again is not the host's
elseif step.miss_id ~= id then -- the same probe is counted once, however often this call is repeated
  step.miss_id = id
  step.misses = (step.misses or 0) + 1
  if miss == 'answered' then
    step.silent, step.silent_at = nil, nil
  else
    step.silent = (step.silent or 0) + (step.silent_at and NOW - step.silent_at or 0)
    step.silent_at = NOW
  end
end
step.reason = reason
local spent = op.retries and (step.misses or 0) > op.retries
if fatal ~= '' or spent or (step.silent or 0) >= tonumber(ARGV[9]) then
  local outcome = fatal ~= '' and fatal or 'unreachable'
  set_outcome(host, step, next(step.attempts) and 'unknown' or outcome, reason)
  save_step(host)
  progressed(op)
  announce('step', host)
  return { 'failed', step.reason }
end
save_step(host)
progressed(op)
announce('miss', host)
return { 'missed', tostring(step.misses or 0), tostring(op.left) }
