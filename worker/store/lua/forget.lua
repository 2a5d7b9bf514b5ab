-- forget: drop the record of an ended operation; what it left on each host stays in `ends`.
-- Returns  1 if a record was dropped
-- Atomic, because an operation that has not ended must never be dropped.
local op, refused = load_operation()
if refused then return refused end
if op and not op.ended then return 0 end
redis.call('DEL', OP, STEPS, TODO, UNDO, OPEN, WAITS)
redis.call('ZREM', OPERATIONS, ID)
redis.call('ZREM', ENDED, ID)
redis.call('ZREM', DUE, ID)
return op and 1 or 0
