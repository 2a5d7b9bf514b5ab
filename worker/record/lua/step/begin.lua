-- begin: record what a GET showed, and open an attempt if a write is needed.
-- ARGV  3 host, 4 its URL's fingerprint, 5 presence seen, 6 body seen, 7 attempt id,
--       8 send_within, 9 call, 10 settle (ms), 11 action, 12 group: what the GET and the write are about,
--       13 how long ago the GET was sent (ms)
-- Returns  over | not_open | elsewhere + the fingerprint in the record | done + outcome | failed + outcome, kind of the reason (or '') and detail | send |
--          busy + the ms after which to come back, 0 if others send for the step
-- Atomic, because the attempt must be open before anything is sent, and must not open after the decision.
if op and (op.action ~= ARGV[11] or op.group ~= ARGV[12]) then return { 'over' } end -- the id was used again
local host, seen, id = ARGV[3], ARGV[5], ARGV[7]
local step = op and load_step(host)
if not step then return { 'over' } end
local no = turned_away(op, step, ARGV[4])
if no then return no end
if step.attempts[id] then return opened_before(step.attempts[id]) end

step.misses, step.silent, step.silent_at = nil, nil, nil
if not step.before then -- the first writer wins; never looked up again
  step.before = seen
  if op.action == 'delete' and seen == 'present' then step.body = ARGV[6] end
end
if seen == op.target then return come_to(host, step, next(step.attempts) and 'applied' or 'unchanged') end
local spent = all_spent(op, step)
if spent then return come_to(host, step, 'unknown', nil, spent) end
return open_attempt(host, step, id, false, tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[13]))
