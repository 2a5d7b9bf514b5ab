-- shown: record what a look at a thing with content showed, and open an attempt if a write is needed.
-- ARGV  3 host, 4 its URL's fingerprint, 5 what it shows: a digest, or absent, 6 how that stands to the target
--       (target | like | other), 7 its text ('' if there is none to keep), 8 why the operation must not start from
--       that ('' if it may), 9 attempt id, 10 send_within, 11 call, 12 settle (ms), 13 action, 14 group,
--       15 the time that another try needs (ms)
-- Returns  over | not_open | elsewhere + the fingerprint in the record | done + outcome | failed + outcome, kind of
--          the reason and detail | send |
--          busy + the ms after which to come back, 0 if others send for the step | missed + 0 + ms to the deadline
-- Atomic, because what a look means depends on every attempt so far, and the attempt must be open before anything is sent.
if op and (op.action ~= ARGV[13] or op.group ~= ARGV[14]) then return { 'over' } end -- the id was used again
local host, seen, shows, id = ARGV[3], ARGV[5], ARGV[6], ARGV[9]
local step = op and op.content and load_step(host)
if not step then return { 'over' } end
local no = turned_away(op, step, ARGV[4])
if no then return no end
if step.attempts[id] then return opened_before(step.attempts[id]) end

local function keep_text() if ARGV[7] ~= '' then redis.call('HSET', TEXTS, seen, ARGV[7]) end end
local function came(outcome, kind, detail) return come_to(host, step, outcome, kind, detail) end
local function look_again(why)
  step.kind, step.reason = nil, why
  if no_time(op, ARGV[15]) then return came('unknown', 'no_time', why) end
  note_step(host, 'miss')
  return { 'missed', '0', tostring(op.left) }
end

step.misses, step.silent, step.silent_at = nil, nil, nil
local landed = has_landed(step)
if not landed then -- nothing of ours can have made it: this is what was there before
  step.was = seen
  keep_text()
end
local newest = newest_attempt(step)
local answered = newest and newest.state == 'applied'
local open = count(step, is_open)
local answers = count(step, function(attempt) return attempt.state == 'applied' end)
local target = shows == 'target' or seen == step.as_seen
local known = answers > 0 or not op.content.secret -- no look shows a secret
if target and known then
  if seen == step.as_seen then keep_text() else step.as_seen = nil end
  return came(landed and 'applied' or 'unchanged')
elseif shows == 'like' and landed and known and seen ~= step.was then
  step.as_seen = seen -- the target, in this host's own form
  keep_text()
  return came('applied')
elseif not landed and ARGV[8] ~= '' then
  return came('refused', 'refused', ARGV[8])
elseif step.contested and open == 0 then
  return came('refused', 'refused', step.contested)
elseif answered and seen == step.was then
  if NOW - tonumber(ARGV[11]) >= newest.closed + settles_within(op, ARGV[12]) then
    return came('refused', 'ignored', newest.answer or '')
  end
  return look_again('it said ' .. (newest.answer or 'yes') .. ', and shows what was there before')
elseif landed and not target and shows ~= 'like' and seen ~= step.was then
  if open == 0 then return came('refused', 'foreign', 'it shows what neither was there nor is asked for') end
  return look_again('it shows what neither was there nor is asked for, while a write may land')
elseif count(step, function(attempt) return is_open(attempt) and (attempt.started or op.content.once) end) > 0 then
  return look_again('a write of ours is under way there')
end
local spent = all_spent(op, step)
if spent then return came('unknown', nil, spent) end
local said = open_attempt(host, step, id, false, tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[15]))
if said[1] == 'send' then step.contested = nil end
return said
