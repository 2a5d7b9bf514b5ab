-- What follows from the record as it is: the decision, the end, and when the sweep looks. It stands after step.lua.

-- What is to be done next, the set of hosts on which, and the name under which it is published once; nothing while an
-- operation bakes or is held.
local function phase_of(op)
  if op.decision == 'roll_back' then return 'rollback', UNDO, 'rollback' end
  if op.decision == 'commit' then return 'settle', OPEN, 'settle' end
  if not op.waves then return 'forward', TODO, 'forward' end
  if op.stage == 'working' then return 'forward', TODO, 'forward:' .. op.wave end
  if op.stage == 'gating' then return 'gate', GATING, 'gate:' .. op.round end
  return 'wait'
end

local function decide(op, decision, why)
  set({ decision = decision, decided_at = NOW, state = decision == 'commit' and 'committed' or 'rolling_back' })
  if why then set({ reason = why.detail, reason_kind = why.kind, reason_host = why.host }) end
  if op.limited then leave(op, redis.call('SMEMBERS', QUEUED)) end
  redis.call('DEL', WAITS) -- they were waits of forward steps
  first_wait = false
  announce('decided')
  run.ending = true
  progressed()
end

-- Keeps when an operation with waves came to something, for people: a wave or a round was opened, passed, held.
local function note_moment(what, number, text)
  set({ ['at:' .. what .. ':' .. number] = NOW .. (text and ' ' .. text or '') })
end

local function hold(op, who, why)
  local held = cjson.encode({ who = who, why = why, since = NOW })
  set({ held = held, hold_no = op.hold_no + 1, hold_until = NOW + op.hold_most })
  note_moment('held', op.hold_no, who .. ': ' .. why)
  announce('held')
  run.stirred = true
end

-- Has a stage begin on hosts: a wave, or a round of the gate, of this number. It has a deadline of its own.
local function begin_stage(op, stage, what, number, members, hosts)
  set({ stage = stage, deadline_at = NOW + op.deadline })
  op.left = op.deadline
  call_in_chunks('SADD', members, hosts)
  note_moment(what, number)
  announce(what)
end

local function open_wave(op, number)
  local hosts = redis.call('ZRANGEBYSCORE', LATER, number, number)
  call_in_chunks('ZREM', LATER, hosts)
  op.todo = #hosts
  set({ wave = number, changed = 0, opened = op.opened + #hosts })
  begin_stage(op, 'working', 'wave', number, TODO, hosts)
  if op.auto_hold and number < op.waves then hold(op, 'the operation', 'it is held after each wave') end
end

local function open_round(op)
  set({ round = op.round + 1 })
  local later, hosts = {}, {}
  for _, host in ipairs(redis.call('ZRANGE', LATER, 0, -1)) do later[host] = true end
  for _, host in ipairs(redis.call('HKEYS', STEPS)) do
    if not later[host] then hosts[#hosts + 1] = host end
  end
  redis.call('DEL', GATING)
  begin_stage(op, 'gating', 'gate', op.round, GATING, hosts)
end

-- Holds the operation if a host is paused that would be worked on next: at the gate one of open waves, else of the next.
local function held_by_pause(op, next_wave)
  for _, host in ipairs(redis.call('HKEYS', PREFIX .. 'paused')) do
    local step = load_step(host)
    local later = step and (step.wave or 1) - op.wave
    if later and (next_wave and later == 1 or not next_wave and later <= 0) then
      if not op.held then hold(op, 'the pause of ' .. host, host .. ' is paused') end
      return true
    end
  end
end

-- One step of an operation with waves; true if there may be another.
local function step_on(op)
  if op.expires_at and NOW >= op.expires_at then
    decide(op, 'roll_back', { kind = 'expired', detail = '' })
  elseif op.held and NOW >= op.hold_until then
    decide(op, 'roll_back', { kind = 'held', detail = '' })
  elseif op.stage == 'working' or op.stage == 'gating' then
    local left = op.stage == 'working' and todo(op) or redis.call('SCARD', GATING)
    if left > 0 then
      if op.left <= 0 then decide(op, 'roll_back', { kind = 'deadline', detail = '' }) end
    elseif op.stage == 'working' then
      set({ stage = 'baking', bake_until = NOW + (op.changed > 0 and op.bake or 0) })
      note_moment('done', op.wave)
      return true
    else
      set({ stage = 'waiting' })
      note_moment('passed', op.round)
      return true
    end
  elseif op.stage == 'baking' then
    if NOW < op.bake_until then return end
    if not op.gate then
      set({ stage = 'waiting' })
      return true
    end
    if not held_by_pause(op, false) then open_round(op) end
  elseif not op.held then
    if op.wave >= op.waves then
      decide(op, 'commit')
    elseif not held_by_pause(op, true) then
      open_wave(op, op.wave + 1)
    end
  end
end

-- The rule by which waves open and an operation is decided, once and for ever: only cancel.lua decides without it, for a
-- person does there. It is asked after every outcome, and before work is claimed.
local function move(op)
  if op.decision then return end
  if op.failed > 0 then
    decide(op, 'roll_back', op.failure)
  elseif op.waves then
    run.stirred = true
    while step_on(op) do end
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
    if drifted then redis.call('HDEL', drift, op.group .. ' ' .. host) end -- there is a new measure
  end
  for host, text in entries(STEPS) do
    if op.decision == 'commit' then
      put(host, op.target, text)
    else
      local step = cjson.decode(text)
      if step.before and step.undo ~= 'abandoned' then put(host, step.before, text) end
    end
  end
  call_in_chunks('HSET', key, row)
end

-- The same for a thing with content: what each host showed at the end, by digest, with the texts beside them. A given
-- secret goes from the record.
local function keep_contents(op)
  local key, used = PREFIX .. 'left:' .. op.group, {}
  for host, text in entries(STEPS) do
    local step = decoded(text)
    local left = type(step) == 'table' and step.undo ~= 'abandoned' and step.was
    if left and op.decision == 'commit' then left = step.as_seen or op.content.target end
    local form = left and op.decision == 'commit' and step.as_seen and ' ' .. op.content.target or '' -- of which target
    if left then redis.call('HSET', key, host, left .. ' ' .. ID .. ' ' .. NOW .. ' ' .. step.fingerprint .. form) end
  end
  local function digest_in(name) return string.match(name, '^=(.*)') end -- nothing in the name of a host
  for name, text in entries(key) do
    if not digest_in(name) then used[string.match(text, '^[^ ]+')] = true end
  end
  for name in entries(key) do
    if digest_in(name) and not used[digest_in(name)] then redis.call('HDEL', key, name) end
  end
  for digest in pairs(used) do
    local text = redis.call('HGET', TEXTS, digest)
    if text then redis.call('HSET', key, '=' .. digest, text) end
  end
  redis.call('HDEL', TEXTS, 'secret')
end

-- Puts a write whose fate was never learned on the patrol's list, with what it would bring if it landed late.
local function suspect(op, host, attempt)
  if op.content then return end -- which the patrol does not look at
  local brings = (attempt.undo == (op.action == 'create')) and 'absent' or 'present'
  redis.call('HSET', PREFIX .. 'suspects:' .. op.group, host .. ' ' .. brings, NOW)
  redis.call('ZADD', PATROL, 'LT', NOW, op.group)
end

-- Closes what two good GETs settle: the first sent after an attempt's `quiet`, the second `window` or more after the
-- first was recorded. Returns when to look again (0 if nothing is open).
local function close_settled(host, step, sent, window)
  local again = 0
  for id, attempt in pairs(step.attempts) do
    if is_open(attempt) then
      if attempt.probed and sent >= attempt.probed + window then
        close_attempt(host, step, id, 'settled')
        suspect(operation, host, attempt)
      else
        if not attempt.probed and sent >= attempt.quiet then attempt.probed = NOW end
        local at = attempt.probed and attempt.probed + window or attempt.quiet
        again = again == 0 and at or math.min(again, at)
      end
    end
  end
  return again
end

-- While an operation works on the group nobody can patrol it: the time does not age what was suspected, if it was long
-- enough to matter.
local function keep_suspicions(op)
  if NOW - op.created_at < op.patience then return end
  local key = PREFIX .. 'suspects:' .. op.group
  for suspicion, text in entries(key) do
    local at = tonumber(text)
    if at then redis.call('HSET', key, suspicion, at + NOW - math.max(at, op.created_at)) end
  end
end

-- The end, with the lock released, as soon as nothing is open and nothing is left to undo. Until then the sweep
-- looks at what a commit leaves open once that can no longer be in our own hands.
local function end_if_done(op)
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
      set({ dispatched = 'settle' })
    end
    return
  end
  local state = 'committed'
  if op.decision == 'roll_back' then state = op.abandoned and 'abandoned' or 'rolled_back' end
  if op.content then keep_contents(op) else keep_ends(op) end
  keep_suspicions(op)
  set({ state = state, ended = '1', ended_at = NOW })
  redis.call('DEL', TODO, UNDO, OPEN, WAITS)
  if op.waves then redis.call('DEL', LATER, GATING) end
  redis.call('ZREM', DUE, ID)
  redis.call('ZADD', ENDED, NOW, ID)
  local lock = PREFIX .. 'lock:' .. op.lock
  if redis.call('GET', lock) == ID then redis.call('DEL', lock) end
  announce('ended')
end

-- Whether something is to be done that nobody has published yet.
local function unpublished(op)
  local _, _, label = phase_of(op)
  return label and label ~= op.dispatched
end

-- When the sweep, if nothing has moved, has everything done again that waits for nothing.
local function stale_at(op) return op.progress_at + op.patience * 2 ^ math.min(op.resumed, 10) end

-- When the sweep is to look at the operation: a function of the record, and of nothing else.
local function due(op)
  if unpublished(op) then return NOW end
  local _, members = phase_of(op)
  local at = members and stale_at(op) or math.huge
  local function by(moment) at = math.min(at, moment or at) end
  if not op.decision then
    if members then by(op.deadline_at) end
    if op.stage == 'baking' and (NOW < op.bake_until or not op.held) then by(op.bake_until) end
    if op.held then by(op.hold_until) end
    by(op.expires_at)
  end
  if members then by(read_first_wait() or nil) end
  return at
end

-- At the end of every run, once all calls have been served.
local function close()
  if run.ending then end_if_done(operation) end
  write()
  if run.stirred and not operation.ended then redis.call('ZADD', DUE, due(operation), ID) end
end
