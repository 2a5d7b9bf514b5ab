-- What every transition script shares: it stands before each of them.
-- KEYS   1 operation hash, 2 steps, 3 todo, 4 undo, 5 open, 6 waits, 7 due, 8 operations, 9 ended, 10 patrol
-- ARGV   1 key prefix, 2 operation id, 3 how many calls; a script sees the arguments of one call from ARGV[3] on
-- Changes are kept until `write`, so that a script that serves many calls writes what they changed together.
local OP, STEPS, TODO, UNDO, OPEN, WAITS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local DUE, OPERATIONS, ENDED, PATROL = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local PREFIX, ID = ARGV[1], ARGV[2]
local FORMAT, WAVED, FILLED = '1', '2', '3' -- the second for what has waves or limits, the third for things with content
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
    'resumed', 'patience', 'deadline_at', 'retries', 'failed', 'progress_at', 'decided_at', 'dispatched', 'failure', 'content', 'created_at',
    'limited', 'stage')
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
    limited = got[20] == '1', -- some of its hosts take so many writes at once, or a second
    target = got[3] == 'create' and 'present' or 'absent', lock = got[2], created_at = tonumber(got[19]) or NOW,
  }
  if got[1] == FILLED then
    local ok, content = pcall(cjson.decode, got[18])
    if not ok or type(content) ~= 'table' then return nil, redis.error_reply(damaged('its field content is none')) end
    operation.content, operation.lock = content, content.lock
  end
  if got[21] or got[1] == WAVED and not operation.limited or operation.content and operation.content.waved then
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
local texts, steps, changed = {}, {}, {} -- by host: steps as they stand in the record, as worked on, those to be written
local members = {} -- [command][key] -> members
local moved -- whether the operation made progress
local stirred -- whether anything changed by which the sweep goes
local settled -- whether a host came to its outcome, and `move` is to be asked
local ending -- whether the operation may have come to its end
local events = {} -- in order; each of one kind, with its hosts

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

-- Progress puts the sweep's patience back to its start.
local function progressed()
  moved, stirred = true, true
end

local function announce(what, host)
  local event = events[#events]
  if not event or event.what ~= what then
    event = { what = what, hosts = {} }
    events[#events + 1] = event
  end
  table.insert(event.hosts, host)
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
    texts[host] = cjson.encode(step)
    step.attempts = attempts
    fields[#fields + 1] = host
    fields[#fields + 1] = texts[host]
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
