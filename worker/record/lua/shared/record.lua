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
local NUMBERS = { 'resumed', 'patience', 'deadline_at', 'failed', 'progress_at' }
local MAY_MISS = { 'retries', 'decided_at' }
local FLAGS = { 'ended', 'abandoned', 'repairs', 'gate', 'auto_hold', 'limited' } -- the last: some hosts have a limit of writes at once, or a second
local WAVES = {
  'wave', 'waves', 'deadline', 'bake', 'bake_until', 'changed', 'round', 'hold_no', 'released_no', 'hold_most', 'opened',
}

local operation -- as read, false if there is none
local LATER, GATING = OP .. ':later', OP .. ':gating' -- hosts of waves that are not open; hosts that have not passed
local TEXTS = OP .. ':texts' -- contents by digest, which no script reads

-- Goes through a hash: for field, text in entries(key) do
local function entries(key)
  local kept, i = redis.call('HGETALL', key), -1
  return function()
    i = i + 2
    return kept[i], kept[i + 1]
  end
end

-- What a text says as JSON; the error, a text, for what is none.
local function decoded(text)
  local _, read = pcall(cjson.decode, text)
  return read
end

-- Makes numbers of fields, which may be missing where `maybe` says so. Returns what is damaged.
local function make_numbers(op, names, maybe)
  for _, name in ipairs(names) do
    local number = tonumber(op[name])
    if not number and (op[name] or not maybe) then return 'its field ' .. name .. ' is no number' end
    op[name] = number
  end
end

-- Returns what is damaged.
local function make_operation(op)
  local wrong = make_numbers(op, NUMBERS) or make_numbers(op, MAY_MISS, true)
  if wrong then return wrong end
  if not op.group or (op.action ~= 'create' and op.action ~= 'delete') then return 'its field group or action is none' end
  for _, name in ipairs(FLAGS) do op[name] = op[name] == '1' end
  op.left, op.target, op.lock = op.deadline_at - NOW, op.action == 'create' and 'present' or 'absent', op.group
  op.dispatched, op.created_at = op.dispatched or 'forward', tonumber(op.created_at) or NOW
  op.failure = op.failure and { detail = op.failure } -- of a step that a worker failed whose release decided later
  if op.format == FILLED then
    local content = decoded(op.content)
    if type(content) ~= 'table' then return 'its field content is none' end
    op.content, op.lock = content, content.lock
  else
    op.content = nil
  end
  if op.stage or op.format == WAVED and not op.limited or op.content and op.content.waved then
    op.held, op.hold_until, op.expires_at = (op.held or '') ~= '', tonumber(op.hold_until), tonumber(op.expires_at)
    return make_numbers(op, WAVES)
  end
end

local function load_operation()
  if operation ~= nil then return operation or nil end
  local op = {}
  for name, text in entries(OP) do op[name] = text end
  operation = op.format and op or false
  if not op.format then return nil end
  local known = op.format == FORMAT or op.format == WAVED or op.format == FILLED
  if not known and tonumber(op.format) then return nil, redis.error_reply('LOCKSTEPFORMAT ' .. op.format) end
  local wrong = not known and 'its field format is no number' or make_operation(op)
  if wrong then return nil, redis.error_reply(damaged(wrong)) end
  return op
end

-- Whether a host's wave is not open yet: nothing is recorded of it.
local function not_open(op, step) return op.waves and (step.wave or 1) > op.wave end

local ahead -- the hosts of all calls, until their steps are read
local texts, steps = {}, {} -- by host: steps as they stand in the record, as worked on

-- What this run has found out that it is to do: `serve` asks for the decision, `write` and `close` do the rest.
local run = {
  fields = {}, -- of the operation, that are to be written
  changed = {}, -- hosts whose steps are to be written
  members = {}, -- [command][key] -> members
  events = {}, -- in order; each of one kind, with its hosts
  moved = false, -- whether the operation made progress
  stirred = false, -- whether anything changed by which the sweep goes
  settled = false, -- whether a host came to its outcome, and `move` is to be asked
  ending = false, -- whether the operation may have come to its end
}

-- Gives fields of the operation new values.
local function set(fields)
  for field, value in pairs(fields) do
    operation[field], run.fields[field] = value, value
  end
end

local function change(command, key, member)
  local keys = run.members[command] or {}
  run.members[command], keys[key] = keys, keys[key] or {}
  table.insert(keys[key], member)
end

local function call_in_chunks(command, key, arguments)
  for first = 1, #arguments, CHUNK do
    redis.call(command, key, unpack(arguments, first, math.min(first + CHUNK - 1, #arguments)))
  end
end

-- Progress puts the sweep's patience back to its start.
local function progressed()
  run.moved, run.stirred = true, true
end

local function announce(what, host)
  local event = run.events[#run.events]
  if not event or event.what ~= what then
    event = { what = what, hosts = {} }
    table.insert(run.events, event)
  end
  table.insert(event.hosts, host)
end

local first_wait -- when the first recorded wait is over, false for none; nil while it is not known

local function read_first_wait()
  if first_wait == nil then first_wait = tonumber(redis.call('ZRANGE', WAITS, 0, 0, 'WITHSCORES')[2]) or false end
  return first_wait
end

-- At once, and not with the rest at the end: one run may give a host a wait and take it away.
local function wait_until(host, at)
  redis.call('ZADD', WAITS, at, host)
  first_wait = nil
end

local function write()
  if run.moved then set({ progress_at = NOW, resumed = 0 }) end
  local fields = {}
  for field, value in pairs(run.fields) do
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  call_in_chunks('HSET', OP, fields)
  fields = {}
  for host in pairs(run.changed) do
    local step = steps[host]
    local attempts = step.attempts
    if next(attempts) == nil then step.attempts = nil end -- an empty table would be encoded as an object
    texts[host] = cjson.encode(step)
    step.attempts = attempts
    fields[#fields + 1] = host
    fields[#fields + 1] = texts[host]
  end
  call_in_chunks('HSET', STEPS, fields)
  for command, keys in pairs(run.members) do
    for key, list in pairs(keys) do
      if key ~= WAITS then
        call_in_chunks(command, key, list)
      elseif read_first_wait() then
        call_in_chunks(command, key, list)
        first_wait = nil
      end
    end
  end
  for _, event in ipairs(run.events) do
    if #event.hosts < 2 then event.host, event.hosts = event.hosts[1], nil end
    event.at = NOW
    redis.call('PUBLISH', PREFIX .. 'events:' .. ID, cjson.encode(event))
  end
  run.fields, run.changed, run.members, run.events, run.moved = {}, {}, {}, {}, false
end
