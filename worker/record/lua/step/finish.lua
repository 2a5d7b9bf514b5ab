-- finish: record what came of a write. An inverse one never gives up. Of a thing with content an answer proves nothing: a
-- look does.
-- ARGV  3 host, 4 attempt id, 5 what came of it: of a group (applied | unshown | already | refused | contested | not_applied |
--       unknown | misdirected), of a thing (applied | replaced | contested | refused | later | started | not_sent | unknown |
--       misdirected), 6 the answer in a few words, 7 settle (ms), 8 the time that another try needs (ms),
--       9 fields that the host would not take back, as JSON
-- Returns  over | restored | done + outcome | failed + outcome, kind of the reason (or '') and detail | open (nothing is settled: try again) + ms to the deadline
-- Atomic, because before and outcome may change only while the operation is undecided, what was replaced may be an
-- earlier attempt's, and restored needs that no other attempt is open at this moment.
local host, id, effect, answer, settle = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local step = op and load_step(host)
if not step or not step.attempts[id] then return { 'over' } end
local attempt, thing = step.attempts[id], op.content
local function may_show(other) return is_open(other) and NOW < other.quiet + settle end
local first = is_open(attempt) -- what was said of a closed attempt says nothing of what came after it
close_by(host, step, id, effect, answer)
if effect == 'started' then attempt.started = true end
if first and effect == 'later' then attempt.later = true end
local overwrote = effect == 'replaced' and not attempt.undo and not has_landed(step, id)
if overwrote then step.overwrote = true end -- what the look had not shown; it is named whatever else comes
if attempt.undo then
  local lost = cjson.decode(ARGV[9])
  if #lost > 0 then step.lost = lost end
  local done = TOOK_EFFECT[effect] or effect == 'already'
  if done and not thing and not op.ended and op.decision == 'roll_back' and attempt.clean and count(step, is_open) == 0 then
    restore(host, step)
  elseif not done and step.undo ~= 'restored' then
    step.kind, step.reason = nil, answer
  end
elseif first and not op.ended and not op.decision and not step.outcome then
  if overwrote then
    set_outcome(host, step, 'refused', 'overwrote', answer)
  elseif thing and effect == 'contested' then
    step.contested = answer -- the next look tells why
  elseif not thing and (effect == 'applied' or effect == 'unshown') then
    set_outcome(host, step, 'applied')
  elseif effect == 'already' then
    if not has_landed(step, id) then -- the group was as asked before us
      step.before = op.target
      step.body = nil
      change('SREM', UNDO, host)
      set_outcome(host, step, 'unchanged')
    else
      set_outcome(host, step, 'applied')
    end
  elseif effect == 'contested' and count(step, may_show) > 0 then
    step.kind, step.reason = nil, answer -- one of ours may be on its way: until it is settled this says nothing
  elseif effect == 'refused' or effect == 'contested' then
    set_outcome(host, step, 'refused', 'refused', answer)
  elseif effect == 'misdirected' then
    set_outcome(host, step, 'unknown', 'misdirected', answer)
  end
  if not step.outcome and no_time(op, ARGV[8]) then
    local method = thing and '' or op.action == 'create' and 'POST ' or 'DELETE '
    set_outcome(host, step, 'unknown', 'no_time', method .. answer)
  end
end
local said = after_answer(op, host, step)
return attempt.undo and step.undo == 'restored' and { 'restored' } or said
