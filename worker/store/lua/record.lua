-- What every transition script shares: it stands before each of them.
-- KEYS   1 operation hash, 2 steps, 3 todo, 4 undo, 5 open, 6 waits, 7 due, 8 operations, 9 ended, 10 patrol
-- ARGV   1 key prefix, 2 operation id, then the script's own from ARGV[3] on
local OP, STEPS, TODO, UNDO, OPEN, WAITS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local DUE, OPERATIONS, ENDED, PATROL = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local PREFIX, ID = ARGV[1], ARGV[2]
local FORMAT = '1'
local CHUNK = 1000 -- arguments to one command; Lua's unpack has a limit

local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function load_operation()
  local got = redis.call('HMGET', OP, 'format', 'group', 'action', 'state', 'decision', 'ended', 'abandoned', 'repairs',
    'resumed', 'patience')
  if not got[1] then return nil end
  if got[1] ~= FORMAT then return nil, redis.error_reply('LOCKSTEPFORMAT ' .. got[1]) end
  return {
    group = got[2], action = got[3], state = got[4], decision = got[5] or nil,
    ended = got[6] == '1', abandoned = got[7] == '1', repairs = got[8] == '1',
    resumed = tonumber(got[9]), patience = tonumber(got[10]),
    target = got[3] == 'create' and 'present' or 'absent',
  }
end

local function load_step(host)
  local text = redis.call('HGET', STEPS, host)
  if not text then return nil end
  local step = cjson.decode(text)
  step.attempts = step.attempts or {}
  return step
end

local function save_step(host, step)
  if next(step.attempts) == nil then step.attempts = nil end -- an empty table would be encoded as an object
  redis.call('HSET', STEPS, host, cjson.encode(step))
  step.attempts = step.attempts or {}
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

local function open_attempt(host, step, id, undo, send_within, call)
  local n = count(step, function() return true end)
  local attempt = {
    n = n + 1, undo = undo, state = 'open', opened = NOW, send_by = NOW + send_within,
    quiet = NOW + send_within + call, clean = count(step, is_open) == 0,
  }
  step.attempts[id] = attempt
  redis.call('SADD', OPEN, host)
  return attempt
end

local function close_attempt(host, step, attempt, state)
  attempt.state = state
  attempt.closed = NOW
  if count(step, is_open) == 0 then redis.call('SREM', OPEN, host) end
end

-- Progress puts the sweep's patience back to its start, and an operation that was resumed back within its reach.
local function progressed(op)
  redis.call('HSET', OP, 'progress_at', NOW, 'resumed', 0)
  if op.resumed > 0 then redis.call('ZADD', DUE, 'XX', 'LT', NOW + op.patience, ID) end
end

local function set_outcome(host, step, outcome, reason)
  step.outcome = outcome
  redis.call('SREM', TODO, host)
  redis.call('ZREM', WAITS, host)
  step.reason = reason
  if outcome ~= 'applied' and outcome ~= 'unchanged' then
    redis.call('HINCRBY', OP, 'failed', 1)
    redis.call('HSETNX', OP, 'failure', host .. ': ' .. reason)
  end
end

-- True if the host was still to be restored.
local function restore(host, step)
  if redis.call('SREM', UNDO, host) == 0 then return false end
  step.undo = 'restored'
  step.reason = nil
  redis.call('ZREM', WAITS, host)
  return true
end

local function set_decision(op, decision, reason)
  op.decision = decision
  redis.call('HSET', OP, 'decision', decision, 'decided_at', NOW,
    'state', decision == 'commit' and 'committed' or 'rolling_back')
  if decision == 'roll_back' then redis.call('HSET', OP, 'reason', reason) end
  redis.call('DEL', WAITS) -- they were waits of forward steps
  progressed(op)
end

local function wait_until(host, at)
  redis.call('ZADD', WAITS, at, host)
  redis.call('ZADD', DUE, 'XX', 'LT', at, ID)
end

local function announce(what, host)
  redis.call('PUBLISH', PREFIX .. 'events:' .. ID, cjson.encode({ what = what, host = host, at = NOW }))
end

-- Puts a write whose fate was never learned on the patrol's list, with what it would bring if it landed late.
local function suspect(op, host, attempt)
  local brings = (attempt.undo == (op.action == 'create')) and 'absent' or 'present'
  redis.call('HSET', PREFIX .. 'suspects:' .. op.group, host .. ' ' .. brings, NOW)
  redis.call('ZADD', PATROL, 'LT', NOW, op.group)
end

-- Keeps, per host, what this operation left there, for the patrol. A repair that was rolled back leaves the drift
-- as it was: what the operation before it left stays the measure.
local function keep_ends(op)
  if op.repairs and op.decision == 'roll_back' then return end
  local row, key, drift = {}, PREFIX .. 'ends:' .. op.group, PREFIX .. 'drift'
  local drifted = redis.call('EXISTS', drift) == 1
  local function put(host, presence, text)
    row[#row + 1] = host
    row[#row + 1] = presence .. ' ' .. ID .. ' ' .. NOW .. ' ' .. string.match(text, '"fingerprint":"([^"]*)"')
    if #row >= CHUNK then redis.call('HSET', key, unpack(row)); row = {} end
    if drifted then redis.call('HDEL', drift, op.group .. ' ' .. host) end -- there is a new measure
  end
  local fields = redis.call('HGETALL', STEPS)
  for i = 1, #fields, 2 do
    if op.decision == 'commit' then
      put(fields[i], op.target, fields[i + 1])
    else
      local step = cjson.decode(fields[i + 1])
      if step.before and step.undo ~= 'abandoned' then put(fields[i], step.before, fields[i + 1]) end
    end
  end
  if #row > 0 then redis.call('HSET', key, unpack(row)) end
end

-- finish: the end, with the lock released, as soon as nothing is open and nothing is left to undo.
local function end_if_done(op)
  if op.ended or not op.decision then return false end
  if redis.call('SCARD', OPEN) > 0 then return false end
  if op.decision == 'roll_back' and redis.call('SCARD', UNDO) > 0 then return false end
  local state = 'committed'
  if op.decision == 'roll_back' then state = op.abandoned and 'abandoned' or 'rolled_back' end
  keep_ends(op)
  redis.call('HSET', OP, 'state', state, 'ended', '1', 'ended_at', NOW)
  redis.call('DEL', TODO, UNDO, OPEN, WAITS)
  redis.call('ZREM', DUE, ID)
  redis.call('ZADD', ENDED, NOW, ID)
  local lock = PREFIX .. 'lock:' .. op.group
  if redis.call('GET', lock) == ID then redis.call('DEL', lock) end
  op.ended = true
  announce('ended')
  return true
end
