-- finish: record what came of a forward write.
-- ARGV  3 host, 4 attempt id, 5 verdict (applied | unshown | already | refused | contested | not_applied | unknown | misdirected),
--       6 the answer in a few words, 7 settle (ms), 8 the time that another try needs (ms)
-- Returns  aborted | done + outcome | failed + outcome, kind of the reason (or '') and detail | open (nothing is settled: try again) + ms to the deadline
-- Atomic, because before and outcome may change only while the operation is undecided.
local host, id, verdict, settle = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[7])
local step = op and load_step(host)
if not step or not step.attempts[id] then return { 'aborted' } end
local function may_show(other) return is_open(other) and NOW < other.quiet + settle end
local first = is_open(step.attempts[id]) -- what was said of a closed attempt says nothing of what came after it
close_by(host, step, id, verdict, ARGV[6])
if first and not op.ended and not op.decision and not step.outcome then
  if verdict == 'applied' or verdict == 'unshown' then
    set_outcome(host, step, 'applied')
  elseif verdict == 'already' then
    if not has_landed(step, id) then -- the group was as asked before us
      step.before = op.target
      step.body = nil
      change('SREM', UNDO, host)
      set_outcome(host, step, 'unchanged')
    else
      set_outcome(host, step, 'applied')
    end
  elseif verdict == 'contested' and count(step, may_show) > 0 then
    step.kind, step.reason = nil, ARGV[6] -- one of ours may be on its way: until it is settled this says nothing
  elseif verdict == 'refused' or verdict == 'contested' then
    set_outcome(host, step, 'refused', 'refused', ARGV[6])
  elseif verdict == 'misdirected' then
    set_outcome(host, step, 'unknown', 'misdirected', ARGV[6])
  end
  if not step.outcome and no_time(op, ARGV[8]) then
    local method = op.action == 'create' and 'POST ' or 'DELETE '
    set_outcome(host, step, 'unknown', 'no_time', method .. ARGV[6])
  end
end
return after_answer(op, host, step)
