-- begin_undo: open an attempt of the inverse.
-- ARGV  3 host, 4 its URL's fingerprint, 5 attempt id, 6 send_within, 7 call, 8 settle (ms),
--       9 the store's time before the look was sent
-- Returns  over | elsewhere + the fingerprint in the record | send | busy + the ms after which to come back, 0 if others send for the step
-- Atomic, because the attempt must be open before anything is sent, and `clean` must be true of that moment.
local host, id = ARGV[3], ARGV[5]
if not op or op.decision ~= 'roll_back' then return { 'over' } end
if redis.call('SISMEMBER', UNDO, host) == 0 then return { 'over' } end
local step = load_step(host)
if step.fingerprint ~= ARGV[4] then return { 'elsewhere', step.fingerprint } end
if step.attempts[id] then return opened_before(step.attempts[id]) end
return open_attempt(host, step, id, true, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), NOW - tonumber(ARGV[9]))
