-- resolve: have what was there before written over what a host shows, because a person has seen that and says so.
-- ARGV  3 host, 4 who
-- Returns  nothing once it is done | not_pending | unknown
-- Atomic, because it holds for what the record has as shown there, and for nothing that is shown later.
local step = op and load_step(ARGV[3])
if not step then return { 'unknown' } end
if not step.foreign or redis.call('SISMEMBER', UNDO, ARGV[3]) == 0 then return { 'not_pending' } end
step.restore_over = step.foreign
step.resolved = ARGV[4]
wait_until(ARGV[3], NOW)
note_step(ARGV[3], 'waits')
return {}
