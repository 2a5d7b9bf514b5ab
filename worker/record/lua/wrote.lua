-- wrote: record what the answer to a write of content says, of an inverse too. It proves nothing: a look does.
-- ARGV  3 host, 4 attempt id, 5 effect (applied | replaced | contested | refused | later | started | not_sent |
--       unknown | misdirected), 6 the answer in a few words, 7 the time that another try needs (ms)
-- Returns  aborted | done + outcome | failed + outcome, kind of the reason and detail | open + ms to the deadline
-- Atomic, because what was replaced may be an earlier attempt's.
local host, id, effect = ARGV[3], ARGV[4], ARGV[5]
local step = op and op.content and load_step(host)
if not step or not step.attempts[id] then return { 'aborted' } end
local attempt = step.attempts[id]
local first = is_open(attempt) -- what was said of a closed attempt says nothing of what came after it
close_by(host, step, id, effect, ARGV[6])
if effect == 'started' then attempt.started = true end
if first and effect == 'later' then attempt.later = true end
local overwrote = effect == 'replaced' and not attempt.undo and not has_landed(step, id)
if overwrote then step.overwrote = true end -- what the look had not shown; it is named whatever else comes
if attempt.undo then
  if step.undo ~= 'restored' and not TOOK_EFFECT[effect] then
    step.kind, step.reason = nil, ARGV[6]
  end
elseif first and not op.ended and not op.decision and not step.outcome then
  if overwrote then
    set_outcome(host, step, 'refused', 'overwrote', ARGV[6])
  elseif effect == 'refused' then
    set_outcome(host, step, 'refused', 'refused', ARGV[6])
  elseif effect == 'misdirected' then
    set_outcome(host, step, 'unknown', 'misdirected', ARGV[6])
  elseif effect == 'contested' then
    step.contested = ARGV[6] -- the next look tells why
  end
  if not step.outcome and no_time(op, ARGV[7]) then set_outcome(host, step, 'unknown', 'no_time', ARGV[6]) end
end
return after_answer(op, host, step)
