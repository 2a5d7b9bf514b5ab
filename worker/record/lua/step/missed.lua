-- missed: a forward GET told nothing. The step fails once its host has been without a usable answer for too long,
-- once the operation's retries are spent, or when the deadline leaves no time for another try.
-- ARGV  3 host, 4 fingerprint of the URL that was asked, 5 id of this look, 6 reason,
--       7 what it says of the host (answered | unusable | unasked), 8 outcome if the step is to fail at once (or ''),
--       9 how long a host may be without a usable answer (ms), 10 the time that another try needs (ms),
--       11 kind of the reason (or '')
-- Returns  over | not_open | elsewhere + the fingerprint in the record | done + outcome | failed + outcome, kind of the reason (or '') and detail | missed + how many in a row + ms to the deadline
-- Atomic, because the count and the outcome that follows from it belong together.
local host, id, reason, miss, fatal = ARGV[3], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local step = op and load_step(host)
if not step then return { 'over' } end
local no = turned_away(op, step, miss == 'unasked' and step.fingerprint or ARGV[4])
if no then return no end
if miss == 'unasked' then
  step.silent_at = nil -- the time until somebody asks the host again is not the host's
elseif step.miss_id ~= id then -- the same look is counted once, however often this call is repeated
  step.miss_id = id
  step.misses = (step.misses or 0) + 1
  if miss == 'answered' then
    step.silent, step.silent_at = nil, nil
  else
    step.silent = (step.silent or 0) + (step.silent_at and NOW - step.silent_at or 0)
    step.silent_at = NOW
  end
end
step.kind, step.reason = ARGV[11] ~= '' and ARGV[11] or nil, reason
local spent = op.retries and (step.misses or 0) > op.retries
local silent = (step.silent or 0) >= tonumber(ARGV[9])
local gone = fatal ~= '' or spent or silent
if gone or no_time(op, ARGV[10]) then
  local kind = 'no_time'
  if gone then kind = step.kind or silent and 'silent' or nil end
  local outcome = fatal ~= '' and fatal or 'unreachable'
  set_outcome(host, step, next(step.attempts) and 'unknown' or outcome, kind, reason)
end
note_step(host, step.outcome and 'step' or 'miss')
if step.outcome then return came_to(step) end
return { 'missed', tostring(step.misses or 0), tostring(op.left) }
