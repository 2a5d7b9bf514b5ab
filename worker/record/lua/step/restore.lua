-- restore: record what a look showed of a thing with content after the decision to roll back, and open an attempt of
-- the inverse if what it shows is ours.
-- ARGV  3 host, 4 its URL's fingerprint, 5 the store's time before the look was sent, 6 attempts open then, 7 what it
--       shows: a digest, or absent, 8 how that stands to the target (target | like | other), 9 fields that differ from
--       what was there before, as JSON, if only rewritten ones do ('' otherwise), 10 its text ('' if there is none),
--       11 attempt id, 12 send_within, 13 call, 14 settle (ms)
-- Returns  over | elsewhere + the fingerprint in the record | restored | send | settle + when to look again (ms, 0 for any time) | person |
--          busy + the ms after which to come back, 0 if others send for the step
-- Atomic, because restored needs that no attempt is open, and the inverse that what is undone is ours.
local host, sent, seen, shows, id = ARGV[3], tonumber(ARGV[5]), ARGV[7], ARGV[8], ARGV[11]
if not op or not op.content or op.decision ~= 'roll_back' then return { 'over' } end
local step = load_step(host)
if not step or redis.call('SISMEMBER', UNDO, host) == 0 then return { 'over' } end
if step.fingerprint ~= ARGV[4] then return { 'elsewhere', step.fingerprint } end
if step.attempts[id] then return opened_before(step.attempts[id]) end
local again = close_settled(host, step, sent, settles_within(op, ARGV[14]))
local open = count(step, is_open)
local undone = count(step, function(attempt) return attempt.undo and attempt.state ~= 'not_applied' end) > 0

local function came(what)
  note_step(host, 'look')
  run.ending = true
  return { what, string.format('%.0f', again) }
end
local function prove(lost)
  if open > 0 or tonumber(ARGV[6]) > 0 then return came('settle') end
  step.lost = lost
  step.foreign = nil
  restore(host, step)
  return came('restored')
end

local target = shows == 'target' or seen == step.as_seen
if not has_landed(step) then return prove() end -- nothing of ours is there, whatever it shows
if seen == step.was then return prove() end
if ARGV[9] ~= '' and undone and seen ~= step.over and not target then
  return prove(cjson.decode(ARGV[9]))
end
if not target and shows ~= 'like' and seen ~= step.restore_over then
  if open > 0 then return came('settle') end
  step.foreign = seen
  step.kind, step.reason = 'foreign', 'it shows what neither was there nor is asked for'
  if ARGV[10] ~= '' then redis.call('HSET', TEXTS, seen, ARGV[10]) end
  return came('person')
end
if count(step, function(attempt) return is_open(attempt) and attempt.undo and (attempt.started or op.content.once) end) > 0 then
  return came('settle')
end
local said = open_attempt(host, step, id, true, tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]), NOW - sent)
if said[1] == 'busy' then return said end
step.over, step.foreign = seen, nil
return came('send')
