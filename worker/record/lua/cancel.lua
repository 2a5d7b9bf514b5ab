-- cancel: decide to roll back because somebody asked for it.
-- ARGV  3 reason
-- Returns  cancelled | decided + the decision | unknown
-- Atomic, because an operation is decided once.
local op, refused = load_operation()
if refused then return refused end
if not op then return { 'unknown' } end
if op.decision then
  if op.decision == 'roll_back' and redis.call('HGET', OP, 'reason') == ARGV[3] then return { 'cancelled' } end
  return { 'decided', op.decision }
end
decide(op, 'roll_back', ARGV[3])
return { 'cancelled' }
