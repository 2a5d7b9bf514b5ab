-- cancel: decide to roll back because somebody asked for it.
-- ARGV  3 reason
-- Returns  cancelled | decided + the decision | unknown
-- Atomic for the same reason as decide: one decision, for ever.
local op, refused = load_operation()
if refused then return refused end
if not op then return { 'unknown' } end
if op.decision then
  if op.decision == 'roll_back' and redis.call('HGET', OP, 'reason') == ARGV[3] then return { 'cancelled' } end
  return { 'decided', op.decision }
end
set_decision(op, 'roll_back', ARGV[3])
redis.call('ZADD', DUE, 'XX', 'LT', NOW, ID)
end_if_done(op)
announce('decided')
return { 'cancelled' }
