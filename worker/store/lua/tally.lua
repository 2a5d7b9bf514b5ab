-- tally: read how far an operation has come.
-- Returns  decision or '', 1 if ended, todo, failed, undo, open, now, deadline, first failure or ''
-- One script, so that the counts are of one moment.
local op, refused = load_operation()
if refused then return refused end
if not op then return false end
local got = redis.call('HMGET', OP, 'failed', 'deadline_at', 'failure')
return {
  op.decision or '', op.ended and '1' or '0', tostring(redis.call('SCARD', TODO)), got[1],
  tostring(redis.call('SCARD', UNDO)), tostring(redis.call('SCARD', OPEN)), tostring(NOW), got[2], got[3] or '',
}
