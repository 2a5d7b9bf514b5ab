-- settle: record what a GET showed after the decision.
-- ARGV  3 host, 4 the store's time before the GET was sent, 5 attempts open then, 6 presence seen, 7 settle (ms)
-- Returns  restored (1 or 0), attempts still open, when to look again (ms, 0 if nothing is open)
-- Closes an attempt by two good GETs: the first sent after its `quiet`, the second sent `settle` or more after
-- the first was recorded. Atomic, because "no attempt is open" must be true at the moment restored is written.
local host, sent, seen = ARGV[3], tonumber(ARGV[4]), ARGV[6]
local step = op and not op.ended and load_step(host)
if not step then return { '0', '0', '0' } end
local again = close_settled(host, step, sent, settles_within(op, ARGV[7]))
local open = count(step, is_open)
local proven = op.decision == 'roll_back' and tonumber(ARGV[5]) == 0 and open == 0 and seen == step.before
local restored = proven and restore(host, step)
note_step(host, 'look')
run.ending = true
return { restored and '1' or '0', tostring(open), tostring(again) }
