-- finish_undo: record what came of an inverse write. It never gives up.
-- ARGV  3 host, 4 attempt id, 5 effect (applied | unshown | already | refused | not_applied | unknown), 6 the answer,
--       7 fields that the host would not take back, as JSON
-- Returns  restored | pending
-- Atomic, because restored needs that no other attempt is open at this moment.
local host, id, effect = ARGV[3], ARGV[4], ARGV[5]
local step = op and load_step(host)
if not step or not step.attempts[id] then return { 'pending' } end
local attempt = step.attempts[id]
close_by(host, step, id, effect, ARGV[6])
local lost = cjson.decode(ARGV[7])
if #lost > 0 then step.lost = lost end
local done = effect == 'applied' or effect == 'already'
if done and not op.ended and op.decision == 'roll_back' and attempt.clean and count(step, is_open) == 0 then
  restore(host, step)
elseif not done and step.undo ~= 'restored' then
  step.kind, step.reason = nil, ARGV[6]
end
after_answer(op, host, step)
return { step.undo == 'restored' and 'restored' or 'pending' }
