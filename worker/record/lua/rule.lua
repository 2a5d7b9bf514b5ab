-- What follows from the record as it is: the decision, the end, and when the sweep looks. It stands after record.lua.
-- What is to be done next, and the set of hosts on which.
local function phase_of(op)
  if op.decision == 'roll_back' then return 'rollback', UNDO end
  if op.decision == 'commit' then return 'settle', OPEN end
  return 'forward', TODO
end

local function set_dispatched(op, phase)
  op.dispatched = phase
  redis.call('HSET', OP, 'dispatched', phase)
end

local function decide(op, decision, why)
  op.decision = decision
  redis.call('HSET', OP, 'decision', decision, 'decided_at', NOW,
    'state', decision == 'commit' and 'committed' or 'rolling_back')
  if why then
    redis.call('HSET', OP, 'reason', why.detail)
    if why.kind then redis.call('HSET', OP, 'reason_kind', why.kind) end
    if why.host then redis.call('HSET', OP, 'reason_host', why.host) end
  end
  redis.call('DEL', WAITS) -- they were waits of forward steps
  announce('decided')
  ending = true
  progressed()
end

-- The rule by which an operation is decided, once and for ever; it stands nowhere else. It is asked after every
-- outcome, and by whoever looks for what is to be done next.
local function move(op)
  if op.decision then return end
  if op.failed > 0 then
    decide(op, 'roll_back', op.failure)
  elseif todo(op) == 0 then
    decide(op, 'commit')
  elseif op.left <= 0 then
    decide(op, 'roll_back', { kind = 'deadline', detail = '' })
  end
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

-- The end, with the lock released, as soon as nothing is open and nothing is left to undo. Until then the sweep
-- looks at what a commit leaves open once that can no longer be in our own hands.
local function end_if_done(op)
  ending = nil
  if op.ended or not op.decision then return end
  write()
  if redis.call('SCARD', OPEN) > 0 or (op.decision == 'roll_back' and redis.call('SCARD', UNDO) > 0) then
    if op.decision == 'commit' and op.dispatched ~= 'settle' then
      for _, host in ipairs(redis.call('SMEMBERS', OPEN)) do
        local quiet = NOW
        local ok, step = pcall(load_step, host) -- it may be damaged, and much has been written by now
        for _, attempt in pairs(ok and step.attempts or {}) do
          if is_open(attempt) then quiet = math.max(quiet, attempt.quiet) end
        end
        wait_until(host, quiet)
      end
      set_dispatched(op, 'settle')
    end
    return
  end
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
end

-- When nothing moves for so long, the sweep has all be done again that waits for nothing.
local function stale_at(op) return op.progress_at + op.patience * 2 ^ math.min(op.resumed, 10) end

-- When the sweep is to look at the operation: a function of the record, and of nothing else.
local function due(op)
  if phase_of(op) ~= op.dispatched then return NOW end -- nobody has published it yet
  local at = stale_at(op)
  if not op.decision then at = math.min(at, op.deadline_at) end
  local first = redis.call('ZRANGE', WAITS, 0, 0, 'WITHSCORES')
  return first[2] and math.min(at, tonumber(first[2])) or at
end

-- At the end of every run, once all calls have been served.
local function close()
  if ending then end_if_done(operation) end
  write()
  if stirred and not operation.ended then redis.call('ZADD', DUE, due(operation), ID) end
end
