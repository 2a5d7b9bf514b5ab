-- The step of one host: how it is read, its attempts, and its outcome. It stands after record.lua.

local function read_step(host)
  if ahead then
    for first = 1, #ahead, CHUNK do
      local last = math.min(first + CHUNK - 1, #ahead)
      for i, text in ipairs(redis.call('HMGET', STEPS, unpack(ahead, first, last))) do texts[ahead[first + i - 1]] = text end
    end
    ahead = nil
  end
  if texts[host] == nil then texts[host] = redis.call('HGET', STEPS, host) end
  return texts[host]
end

local STEP_NUMBERS = { 'misses', 'silent', 'silent_at', 'undo_misses' } -- which may be missing

local function is_step(read)
  if type(read) ~= 'table' or type(read.fingerprint) ~= 'string' then return false end
  for _, name in ipairs(STEP_NUMBERS) do
    if read[name] and type(read[name]) ~= 'number' then return false end
  end
  if read.attempts and type(read.attempts) ~= 'table' then return false end
  for _, attempt in pairs(read.attempts or {}) do
    if type(attempt) ~= 'table' then return false end
    if type(attempt.n) ~= 'number' or type(attempt.quiet) ~= 'number' then return false end
    if attempt.probed and type(attempt.probed) ~= 'number' then return false end
  end
  return true
end

local function load_step(host)
  if steps[host] then return steps[host] end
  local text = read_step(host)
  if not text then return nil end
  local step = decoded(text)
  if not is_step(step) then error(damaged('the step of ' .. host .. ' is none')) end
  step.attempts = step.attempts or {}
  steps[host] = step
  return step
end

-- Has a step written at the end of the run, counts that as progress, and tells of it.
local function note_step(host, what)
  run.changed[host] = true
  progressed()
  announce(what, host)
end

-- Counts the attempts of a step for which test(attempt, id) holds.
local function count(step, test)
  local n = 0
  for id, attempt in pairs(step.attempts) do
    if test(attempt, id) then n = n + 1 end
  end
  return n
end

local function is_open(attempt) return attempt.state == 'open' end

-- What a call answers whose attempt is on record: it was made again because its reply was late, or it came so
-- late itself that the write has been sent and its attempt closed since. No attempt is opened twice.
local function opened_before(attempt) return { is_open(attempt) and 'send' or 'over' } end

-- Whether anything of ours may be on the host, now or later; `but` is the id of an attempt that is left out.
local function has_landed(step, but)
  return count(step, function(attempt, id) return id ~= but and attempt.state ~= 'not_applied' end) > 0
end

local function newest_attempt(step, test)
  local newest
  for _, attempt in pairs(step.attempts) do
    if (not newest or attempt.n > newest.n) and (not test or test(attempt)) then newest = attempt end
  end
  return newest
end

-- Says that the retries of the operation are spent; nil while there is another one.
local function all_spent(op, step)
  local function forward(attempt) return not attempt.undo and not attempt.later end
  local writes = count(step, forward)
  if op.retries and writes > op.retries then
    return 'all ' .. writes .. ' writes spent (' .. (newest_attempt(step, forward).answer or 'no answer') .. ')'
  end
end

-- How long a write may take to show: the worker's setting, or what the kind of the thing says if that is longer.
local function settles_within(op, given)
  return math.max(tonumber(given), op.content and op.content.settle or 0)
end

-- `looked` is how long ago the look was sent that says it is needed. Returns the step's answer: to send, or to wait.
local function open_attempt(host, step, id, undo, send_within, call, settle, looked)
  settle = settles_within(operation, settle)
  local busy = wait_for_place(operation, host, step, id, undo, looked, NOW + send_within + call + settle)
  if busy then
    note_step(host, 'waits')
    return busy
  end
  local n = count(step, function() return true end)
  local attempt = {
    n = n + 1, undo = undo, state = 'open', opened = NOW, send_by = NOW + send_within,
    quiet = NOW + send_within + call, clean = count(step, is_open) == 0,
  }
  step.attempts[id] = attempt
  change('SADD', OPEN, host)
  if not undo then change('SADD', UNDO, host) end
  note_step(host, 'attempt')
  return { 'send' }
end

local function close_attempt(host, step, id, state)
  step.attempts[id].state = state
  step.attempts[id].closed = NOW
  if state ~= 'abandoned' then give_back(operation, host, id) end
  if count(step, is_open) == 0 then change('SREM', OPEN, host) end
end

-- How many hosts have no outcome. Read once: what this run has yet to write is counted by `set_outcome`.
local function todo(op)
  op.todo = op.todo or redis.call('SCARD', TODO)
  return op.todo
end

-- Whether a try that needs `needed` milliseconds would end past the deadline.
local function no_time(op, needed) return op.left <= tonumber(needed) end

-- What a forward step answers once it has its outcome, however often it is asked.
local function came_to(step)
  if step.outcome == 'applied' or step.outcome == 'unchanged' then return { 'done', step.outcome } end
  return { 'failed', step.outcome, step.kind or '', step.reason or '' } -- what is restored has none any more
end

-- Counts a host that failed; of the first it is known why.
local function fail(op, host, kind, detail)
  set({ failed = op.failed + 1 })
  op.failure = op.failure or { host = host, kind = kind, detail = detail }
end

-- A reason is a kind, which may be missing, and a detail; text for people is made of them where it is shown.
local function set_outcome(host, step, outcome, kind, detail)
  run.settled = true
  operation.todo = todo(operation) - 1
  step.outcome = outcome
  if outcome == 'applied' and operation.waves then set({ changed = operation.changed + 1 }) end
  change('SREM', TODO, host)
  change('ZREM', WAITS, host)
  leave(operation, { host })
  step.kind, step.reason = kind, detail
  if outcome ~= 'applied' and outcome ~= 'unchanged' then fail(operation, host, kind, detail) end
end

-- What a forward step answers without anything being recorded; nil if it may go on.
local function turned_away(op, step, fingerprint)
  if step.outcome then return came_to(step) end
  if op.ended or op.decision then return { 'over' } end
  if not_open(op, step) then return { 'not_open' } end
  if step.fingerprint ~= fingerprint then return { 'elsewhere', step.fingerprint } end
end

-- Keeps the answer to a write; by its effect the attempt is closed, unless that says nothing of its fate.
local AMBIGUOUS = { unknown = true, misdirected = true, unshown = true, started = true }
local TOOK_EFFECT = { applied = true, replaced = true }
local function close_by(host, step, id, effect, answer)
  local attempt = step.attempts[id]
  attempt.answer = answer
  attempt.answered = NOW
  if is_open(attempt) and not AMBIGUOUS[effect] then
    close_attempt(host, step, id, TOOK_EFFECT[effect] and 'applied' or 'not_applied')
  end
end

-- True if the host was still to be restored.
local function restore(host, step)
  if redis.call('SREM', UNDO, host) == 0 then return false end
  step.undo = 'restored'
  step.kind, step.reason = nil, nil
  change('ZREM', WAITS, host)
  leave(operation, { host })
  return true
end

-- Ends a forward step that came to an outcome by a look.
local function come_to(host, step, outcome, kind, detail)
  set_outcome(host, step, outcome, kind, detail)
  note_step(host, 'step')
  return came_to(step)
end

-- Ends a step that was told the answer to a write; what a forward one answers then.
local function after_answer(op, host, step)
  run.changed[host] = true
  progressed()
  run.ending = true
  announce('answer', host)
  if step.outcome then return came_to(step) end
  if op.decision then return { 'over' } end
  return { 'open', tostring(op.left) }
end
