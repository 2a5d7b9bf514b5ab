-- postpone: keep in the record when to look at a host again, and why.
-- ARGV  3 host, 4 delay in ms ('' keeps none: the caller comes back by itself), 5 reason (or ''),
--       6 id of this try if it failed (or ''), 7 kind of the reason (or '')
-- Returns  how many tries after the decision have failed on this host
-- Atomic, because the wait and the operation's due time belong together.
local host = ARGV[3]
local step = op and not op.ended and load_step(host)
if not step or (not op.decision and not_open(op, step)) then return '0' end
if ARGV[5] ~= '' then step.kind, step.reason = ARGV[7] ~= '' and ARGV[7] or nil, ARGV[5] end
if ARGV[6] ~= '' and step.undo_miss_id ~= ARGV[6] then
  step.undo_miss_id = ARGV[6]
  step.undo_misses = (step.undo_misses or 0) + 1
end
if ARGV[4] ~= '' then wait_until(host, NOW + tonumber(ARGV[4])) end
note_step(host, 'waits')
return tostring(step.undo_misses or 0)
