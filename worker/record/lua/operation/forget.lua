-- forget: drop the record of an ended operation; what it left on each host stays in `ends`.
-- Returns  1 if a record was dropped
-- Atomic, because an operation that has not ended must never be dropped.
if op and not op.ended then return 0 end
local there = redis.call('DEL', OP) -- another call of this run may have dropped it, whatever `op` says
redis.call('DEL', STEPS, TODO, UNDO, OPEN, WAITS, LATER, GATING, TEXTS)
redis.call('ZREM', OPERATIONS, ID)
redis.call('ZREM', ENDED, ID)
if there == 0 then return 0 end
local dropped = PREFIX .. 'dropped' -- so that a message that comes late does not look as if Redis had lost the record
redis.call('ZADD', dropped, NOW, ID)
redis.call('ZREMRANGEBYRANK', dropped, 0, -10001)
redis.call('PEXPIRE', dropped, 86400000)
return 1
