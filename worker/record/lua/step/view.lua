-- view: read one step, and the store's time before the GET that follows.
-- ARGV  3 host
-- Returns  state of knowledge for a step after the decision: decision or '', now, step as JSON or '', 1 if the host
--          is still to be restored, action, group, when it was decided or '', the round of the gate in which the
--          host has not passed yet or ''
-- One script, so that the step and the clock are read at one moment.
if not op then return { '', tostring(NOW), '', '0', '', '', '', '' } end
local gating = not op.decision and op.stage == 'gating' and redis.call('SISMEMBER', GATING, ARGV[3]) == 1
return {
  op.decision or '', tostring(NOW), read_step(ARGV[3]) or '',
  tostring(redis.call('SISMEMBER', UNDO, ARGV[3])), op.action, op.group,
  tostring(op.decided_at or ''),
  gating and tostring(op.round) or '',
}
