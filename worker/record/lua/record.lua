-- What every transition script shares: it stands before each of them.
-- KEYS   1 operation hash, 2 steps, 3 todo, 4 undo, 5 open, 6 waits, 7 due, 8 operations, 9 ended, 10 patrol
-- ARGV   1 key prefix, 2 operation id, 3 how many calls; a script sees the arguments of one call from ARGV[3] on
-- Changes are kept until `write`, so that a script that serves many calls writes what they changed together.
local OP, STEPS, TODO, UNDO, OPEN, WAITS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local DUE, OPERATIONS, ENDED, PATROL = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local PREFIX, ID = ARGV[1], ARGV[2]
local FORMAT, WAVED, FILLED = '1', '2', '3' -- the second for what has waves, the third for things with content
local CHUNK = 1000 -- arguments to one command; Lua's unpack has a limit

local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- What somebody has damaged is named, before anything is written, and left as it is.
local function damaged(why) return 'LOCKSTEPDAMAGED [' .. why .. ']' end
local NUMBERS = {
  [9] = 'resumed', [10] = 'patience', [11] = 'deadline_at', [12] = 'retries', [13] = 'failed', [14] = 'progress_at',
  [15] = 'decided_at',
}
local MISSING = { retries = 0, decided_at = 0 } -- what may be

local operation -- as read, false if there is none
local LATER, GATING = OP .. ':later', OP .. ':gating' -- hosts of waves that are not open; hosts that have not passed
local TEXTS = OP .. ':texts' -- contents by digest, which no script reads

-- What an operation with waves keeps besides.
local function load_waves(op)
  local names = { 'wave', 'waves', 'deadline', 'bake', 'bake_until', 'changed', 'round', 'hold_no', 'released_no', 'hold_most', 'opened' }
  local got = redis.call('HMGET', OP, 'stage', 'gate', 'auto_hold', 'held', 'hold_until', 'expires_at', unpack(names))
  for i, name in ipairs(names) do
    op[name] = tonumber(got[i + 6])
    if not op[name] then return redis.error_reply(damaged('its field ' .. name .. ' is no number')) end
  end
  op.stage, op.gate, op.auto_hold, op.held = got[1], got[2] == '1', got[3] == '1', (got[4] or '') ~= ''
  op.hold_until, op.expires_at = tonumber(got[5] or nil), tonumber(got[6] or nil)
end

local function load_operation()
  if operation ~= nil then return operation or nil end
  local got = redis.call('HMGET', OP, 'format', 'group', 'action', 'state', 'decision', 'ended', 'abandoned', 'repairs',
    'resumed', 'patience', 'deadline_at', 'retries', 'failed', 'progress_at', 'decided_at', 'dispatched', 'failure', 'content', 'created_at')
  operation = false
  if not got[1] then return nil end
  if got[1] ~= FORMAT and got[1] ~= WAVED and got[1] ~= FILLED then
    if not tonumber(got[1]) then return nil, redis.error_reply(damaged('its field format is no number')) end
    return nil, redis.error_reply('LOCKSTEPFORMAT ' .. got[1])
  end
  for i, name in pairs(NUMBERS) do
    if not tonumber(got[i] or MISSING[name]) then
      return nil, redis.error_reply(damaged('its field ' .. name .. ' is no number'))
    end
  end
  if not got[2] or (got[3] ~= 'create' and got[3] ~= 'delete') then
    return nil, redis.error_reply(damaged('its field group or action is none'))
  end
  operation = {
    group = got[2], action = got[3], state = got[4], decision = got[5] or nil,
    ended = got[6] == '1', abandoned = got[7] == '1', repairs = got[8] == '1',
    resumed = tonumber(got[9]), patience = tonumber(got[10]), progress_at = tonumber(got[14]),
    deadline_at = tonumber(got[11]), left = tonumber(got[11]) - NOW, retries = tonumber(got[12]),
    dispatched = got[16] or 'forward', failed = tonumber(got[13]),
    failure = got[17] and { detail = got[17] } or nil, -- of a step that a worker failed whose release decided later
    target = got[3] == 'create' and 'present' or 'absent', lock = got[2], created_at = tonumber(got[19]) or NOW,
  }
  if got[1] == FILLED then
    local ok, content = pcall(cjson.decode, got[18])
    if not ok or type(content) ~= 'table' then return nil, redis.error_reply(damaged('its field content is none')) end
    operation.content, operation.lock = content, content.lock
  end
  if got[1] == WAVED or operation.content and operation.content.waved then
    local wrong = load_waves(operation)
    if wrong then return nil, wrong end
  end
  return operation
end

-- Whether a host's wave is not open yet: nothing is recorded of it.
local function not_open(op, step) return op.waves and (step.wave or 1) > op.wave end

local function set(op, field, value)
  op[field] = value
  redis.call('HSET', OP, field, value)
end

local ahead -- the hosts of all calls, until their steps are read
local steps, changed = {}, {} -- steps by host: as text until one is worked on; those that are to be written
local members = {} -- [command][key] -> members
local moved -- whether the operation made progress
local stirred -- whether anything changed by which the sweep goes
local settled -- whether a host came to its outcome, and `move` is to be asked
local ending -- whether the operation may have come to its end
local events = {} -- in order; each of one kind, with its hosts

local function read_step(host)
  if ahead then
    for first = 1, #ahead, CHUNK do
      local last = math.min(first + CHUNK - 1, #ahead)
      local texts = redis.call('HMGET', STEPS, unpack(ahead, first, last))
      for i, text in ipairs(texts) do steps[ahead[first + i - 1]] = text end
    end
    ahead = nil
  end
  if steps[host] == nil then steps[host] = redis.call('HGET', STEPS, host) end
  return steps[host]
end

local function is_step(read)
  if type(read) ~= 'table' or type(read.fingerprint) ~= 'string' then return false end
  for _, name in ipairs({ 'misses', 'silent', 'silent_at', 'undo_misses' }) do
    if read[name] and type(read[name]) ~= 'number' then return false end
  end
  if read.attempts and type(read.attempts) ~= 'table' then return false end
  for _, attempt in pairs(read.attempts or {}) do
    if type(attempt) ~= 'table' then return false end
    for _, name in ipairs({ 'n', 'quiet', 'probed' }) do
      if type(attempt[name] or (name == 'probed' and 0)) ~= 'number' then return false end
    end
  end
  return true
end

local function load_step(host)
  local step = read_step(host)
  if not step then return nil end
  if type(step) == 'string' then
    local ok, read = pcall(cjson.decode, step)
    if not ok or not is_step(read) then error(damaged('the step of ' .. host .. ' is none')) end
    step = read
    step.attempts = step.attempts or {}
    steps[host] = step
  end
  return step
end

local function save_step(host) changed[host] = true end

local function change(command, key, member)
  members[command] = members[command] or {}
  members[command][key] = members[command][key] or {}
  table.insert(members[command][key], member)
end

local function call_in_chunks(command, key, arguments)
  for first = 1, #arguments, CHUNK do
    redis.call(command, key, unpack(arguments, first, math.min(first + CHUNK - 1, #arguments)))
  end
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

-- Whether anything of ours may be on the host, now or later.
local function has_landed(step) return count(step, function(attempt) return attempt.state ~= 'not_applied' end) > 0 end

local function newest_attempt(step, test)
  local newest
  for _, attempt in pairs(step.attempts) do
    if (not newest or attempt.n > newest.n) and (not test or test(attempt)) then newest = attempt end
  end
  return newest
end

local function open_attempt(host, step, id, undo, send_within, call)
  local n = count(step, function() return true end)
  local attempt = {
    n = n + 1, undo = undo, state = 'open', opened = NOW, send_by = NOW + send_within,
    quiet = NOW + send_within + call, clean = count(step, is_open) == 0,
  }
  step.attempts[id] = attempt
  change('SADD', OPEN, host)
  return attempt
end

local function close_attempt(host, step, attempt, state)
  attempt.state = state
  attempt.closed = NOW
  if count(step, is_open) == 0 then change('SREM', OPEN, host) end
end

-- Closes what two good GETs settle: the first sent after an attempt's `quiet`, the second `window` or more after the
-- first was recorded. Returns when to look again (0 if nothing is open).
local function close_settled(host, step, sent, window, closed)
  local again = 0
  for _, attempt in pairs(step.attempts) do
    if is_open(attempt) then
      if attempt.probed and sent >= attempt.probed + window then
        close_attempt(host, step, attempt, 'settled')
        closed(attempt)
      else
        if not attempt.probed and sent >= attempt.quiet then attempt.probed = NOW end
        local at = attempt.probed and attempt.probed + window or attempt.quiet
        again = again == 0 and at or math.min(again, at)
      end
    end
  end
  return again
end

-- Progress puts the sweep's patience back to its start.
local function progressed()
  moved, stirred = true, true
end

-- How many hosts have no outcome. Read once: what this run has yet to write is counted by `set_outcome`.
local function todo(op)
  op.todo = op.todo or redis.call('SCARD', TODO)
  return op.todo
end

-- Whether a try that needs so many milliseconds would end past the deadline.
local function no_time(op, needed) return op.left <= tonumber(needed) end

-- What a forward step answers once it has its outcome, however often it is asked.
local function came_to(step)
  if step.outcome == 'applied' or step.outcome == 'unchanged' then return { 'done', step.outcome } end
  return { 'failed', step.outcome, step.kind or '', step.reason or '' } -- what is restored has none any more
end

-- A reason is a kind, which may be missing, and a detail; text for people is made of them where it is shown.
local function set_outcome(host, step, outcome, kind, detail)
  settled = true
  operation.todo = todo(operation) - 1
  step.outcome = outcome
  if outcome == 'applied' and operation.waves then set(operation, 'changed', operation.changed + 1) end
  change('SREM', TODO, host)
  change('ZREM', WAITS, host)
  step.kind, step.reason = kind, detail
  if outcome ~= 'applied' and outcome ~= 'unchanged' then
    redis.call('HINCRBY', OP, 'failed', 1)
    operation.failed = operation.failed + 1
    operation.failure = operation.failure or { host = host, kind = kind, detail = detail }
  end
end

-- What a forward step answers without anything being recorded; nil if it may go on.
local function turned_away(op, step, fingerprint)
  if step.outcome then return came_to(step) end
  if op.ended or op.decision then return { 'aborted' } end
  if not_open(op, step) then return { 'not_open' } end
  if step.fingerprint ~= fingerprint then return { 'elsewhere', step.fingerprint } end
end

-- Keeps the answer to a write; by its verdict the attempt is closed, unless that says nothing of its fate.
local AMBIGUOUS = { unknown = true, misdirected = true, unshown = true }
local function close_by(host, step, attempt, verdict, answer)
  attempt.answer = answer
  attempt.answered = NOW
  if is_open(attempt) and not AMBIGUOUS[verdict] then
    close_attempt(host, step, attempt, verdict == 'applied' and 'applied' or 'not_applied')
  end
end

-- True if the host was still to be restored.
local function restore(host, step)
  if redis.call('SREM', UNDO, host) == 0 then return false end
  step.undo = 'restored'
  step.kind, step.reason = nil, nil
  change('ZREM', WAITS, host)
  return true
end

local function announce(what, host)
  local event = events[#events]
  if not event or event.what ~= what then
    event = { what = what, hosts = {} }
    events[#events + 1] = event
  end
  table.insert(event.hosts, host)
end

-- Ends a step whose attempt was opened: it is to be sent.
local function send(host)
  save_step(host)
  progressed()
  announce('attempt', host)
  return { 'send' }
end

-- Ends a forward step that came to an outcome by a look.
local function come_to(host, step, outcome, kind, detail)
  set_outcome(host, step, outcome, kind, detail)
  save_step(host)
  progressed()
  announce('step', host)
  return came_to(step)
end

-- Ends a step that was told the answer to a write; what a forward one answers then.
local function after_answer(op, host, step)
  save_step(host)
  if not op.ended then progressed() end
  ending = true
  announce('answer', host)
  if step.outcome then return came_to(step) end
  if op.decision then return { 'aborted' } end
  return { 'open', tostring(op.left) }
end

local first_wait -- when the first recorded wait is over, false for none; nil while it is not known

local function read_first_wait()
  if first_wait == nil then first_wait = tonumber(redis.call('ZRANGE', WAITS, 0, 0, 'WITHSCORES')[2]) or false end
  return first_wait
end

local function wait_until(host, at)
  redis.call('ZADD', WAITS, at, host)
  first_wait = nil
end

local function write()
  local fields = {}
  for host in pairs(changed) do
    local step = steps[host]
    local attempts = step.attempts
    if next(attempts) == nil then step.attempts = nil end -- an empty table would be encoded as an object
    fields[#fields + 1] = host
    fields[#fields + 1] = cjson.encode(step)
    step.attempts = attempts
  end
  call_in_chunks('HSET', STEPS, fields)
  for command, keys in pairs(members) do
    for key, list in pairs(keys) do
      if key ~= WAITS then
        call_in_chunks(command, key, list)
      elseif read_first_wait() then
        call_in_chunks(command, key, list)
        first_wait = nil
      end
    end
  end
  if moved then
    redis.call('HSET', OP, 'progress_at', NOW, 'resumed', 0)
    operation.progress_at, operation.resumed = NOW, 0
  end
  for _, event in ipairs(events) do
    if #event.hosts < 2 then event.host, event.hosts = event.hosts[1], nil end
    event.at = NOW
    redis.call('PUBLISH', PREFIX .. 'events:' .. ID, cjson.encode(event))
  end
  changed, members, moved, events = {}, {}, nil, {}
end

-- While an operation works on the group nobody can patrol it: the time does not age what was suspected, if it was long
-- enough to matter.
local function keep_suspicions(op)
  if NOW - op.created_at < op.patience then return end
  local key = PREFIX .. 'suspects:' .. op.group
  local kept = redis.call('HGETALL', key)
  for i = 1, #kept, 2 do
    local at = tonumber(kept[i + 1])
    if at then redis.call('HSET', key, kept[i], at + NOW - math.max(at, op.created_at)) end
  end
end

-- Puts a write whose fate was never learned on the patrol's list, with what it would bring if it landed late.
local function suspect(op, host, attempt)
  local brings = (attempt.undo == (op.action == 'create')) and 'absent' or 'present'
  redis.call('HSET', PREFIX .. 'suspects:' .. op.group, host .. ' ' .. brings, NOW)
  redis.call('ZADD', PATROL, 'LT', NOW, op.group)
end
