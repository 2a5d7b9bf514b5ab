-- gate_seen: record what a look of the gate showed of one host.
-- ARGV  3 host, 4 the round whose number was read before the look, 5 the store's time then, 6 id of this look,
--       7 what it showed (well | unwell | changed), 8 what came of it, in a few words
-- Returns  ignored | passed | again | failed
-- Atomic, because the last host that passes opens the next wave, or commits.
local host, round, sent, id, health = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local step = op and not op.ended and not op.decision and op.stage == 'gating' and op.round == round and load_step(host)
if not step or redis.call('SISMEMBER', GATING, host) == 0 then return { 'ignored' } end
local gate = step.gate
if not gate or gate.round ~= round then gate = { round = round, unwell = 0, sent = 0 } end
step.gate = gate
if gate.id == id then return { 'again' } end -- the same look is counted once, however often this call is repeated
gate.id, gate.at, gate.said = id, NOW, ARGV[8]
local failed = health == 'changed'
if health == 'well' then
  redis.call('SREM', GATING, host)
elseif health == 'unwell' and sent >= gate.sent + 1000 then
  gate.unwell, gate.sent = gate.unwell + 1, sent
  failed = gate.unwell >= 3
end
if failed then fail(op, host, 'gate', ARGV[8]) end
note_step(host, 'gate')
run.settled = true
return { health == 'well' and 'passed' or failed and 'failed' or 'again' }
