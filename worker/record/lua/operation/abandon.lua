-- abandon: give up on one host, because an operator said so.
-- ARGV  3 host, 4 who and why
-- Returns  nothing once it is done | not_pending | undecided | unknown
-- Atomic, because the host's attempts, its undo and the end that may follow belong together.
local host = ARGV[3]
local step = op and load_step(host)
if not step then return { 'unknown' } end
if not op.decision then return { 'undecided' } end
local open = count(step, is_open)
local pending = op.decision == 'roll_back' and redis.call('SISMEMBER', UNDO, host) == 1
if op.ended or (open == 0 and not pending) then return { 'not_pending' } end
for id, attempt in pairs(step.attempts) do
  if is_open(attempt) then
    close_attempt(host, step, id, 'abandoned')
    suspect(op, host, attempt)
  end
end
step.abandoned = ARGV[4]
step.abandoned_at = NOW
if pending then
  redis.call('SREM', UNDO, host)
  step.undo = 'abandoned'
  set({ abandoned = '1' })
end
change('ZREM', WAITS, host)
leave(op, { host })
note_step(host, 'abandoned')
run.ending = true
return {}
