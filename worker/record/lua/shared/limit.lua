-- The limit that all workers share: how many writes may be at a host at once, or at all hosts together, and how many may
-- begin in a second. It stands after record.lua. Operations without a limited host come by none of this.
-- Per name, of a host or * for all together, there are: `places`, an attempt, or the ticket of a step that was called -> when
-- that is over; `queue`, tickets of steps that wait for a place -> rank; `pace`, of those that wait for their moment -> rank;
-- `next`, when a write may begin again. A ticket is "undo HOST OPERATION" or "forward HOST OPERATION".
local ALL, UNDO_FIRST, TWO_DAYS = '*', 1e14, 172800000
local QUEUED = OP .. ':queued' -- hosts that wait, or were called and have not come
local called = {} -- operations of which something is to be published: hosts whose turn has come, or an opened wave
local limits = {}

local function limit_of(name)
  if not limits[name] then
    local function number(text) return tonumber(text or nil) and tonumber(text) > 0 and tonumber(text) or nil end
    local places, rate = string.match(redis.call('HGET', PREFIX .. 'limits', name) or '', '^(%S+) (%S+)$')
    limits[name] = { places = number(places), rate = number(rate) }
  end
  return limits[name]
end

local function line(name, part) return PREFIX .. 'limit:' .. name .. ':' .. part end

local function ticket(undo, host) return (undo and 'undo ' or 'forward ') .. host .. ' ' .. ID end

-- What is left of places is dropped by Redis: none is taken for much longer than a day.
local function take(places, who, over)
  redis.call('ZADD', places, over, who)
  redis.call('PEXPIRE', places, TWO_DAYS)
end

local function wake(id, host, at)
  if id == ID then
    wait_until(host, at)
  else
    redis.call('ZADD', PREFIX .. 'op:' .. id .. ':waits', at, host)
    redis.call('ZADD', DUE, 'LT', at, id)
  end
  if at <= NOW then called[#called + 1] = id end
end

local function kept_for_forward(places)
  for _, each in ipairs(redis.call('ZRANGE', places, 0, -1)) do
    if string.sub(each, 1, 8) == 'forward ' then return each end
  end
end

-- Keeps a place for the first in line, and calls it, while there are places. One of several is for undo
-- alone, which also gets a place that is kept for forward work. The first that is not called wakes by itself once a
-- place is over, for nobody else would notice; `me` is here, and need not be woken.
local function call_next(name, me)
  local most, places, queue = limit_of(name).places or math.huge, line(name, 'places'), line(name, 'queue')
  while true do
    local first = redis.call('ZRANGE', queue, 0, 0)[1]
    if not first then return end
    local kind, host, id = string.match(first, '^(%S+) (%S+) (.*)$')
    local undo = kind == 'undo'
    local format, ended = unpack(redis.call('HMGET', PREFIX .. 'op:' .. id, 'format', 'ended'))
    if not format or ended then
      redis.call('ZREM', queue, first) -- its record is gone, or put back to an older one
    else
      if redis.call('ZCARD', places) >= most - ((undo or most < 2) and 0 or 1) then
        local kept = undo and kept_for_forward(places)
        if not kept then return wake(id, host, tonumber(redis.call('ZRANGE', places, 0, 0, 'WITHSCORES')[2])) end
        redis.call('ZREM', places, kept)
      end
      redis.call('ZREM', queue, first)
      take(places, first, NOW + operation.patience)
      if first ~= me then wake(id, host, NOW) end
    end
  end
end

local function each_limit(host, visit)
  for _, name in ipairs({ host, ALL }) do
    local stop = visit(name, limit_of(name), line(name, 'places'))
    if stop then return stop end
  end
end

-- Has the steps of hosts wait no more.
local function leave(op, hosts)
  if not op.limited then return end
  for _, host in ipairs(hosts) do
    if redis.call('SREM', QUEUED, host) == 1 then
      each_limit(host, function(name)
        for _, part in ipairs({ 'queue', 'pace', 'places' }) do
          redis.call('ZREM', line(name, part), ticket(true, host), ticket(false, host))
        end
      end)
      each_limit(host, function(name) call_next(name) end)
    end
  end
end

-- Gives the places of an attempt back. One whose fate is not known keeps them until they are over.
local function give_back(op, host, id)
  if not op.limited then return end
  each_limit(host, function(name, _, places)
    if redis.call('ZREM', places, id) == 1 then call_next(name) end
  end)
end

local function set_moment(name, between, at)
  redis.call('SET', line(name, 'next'), string.format('%.0f', math.ceil(at)), 'PX', math.ceil(2 * between) + 1000)
  return at
end

-- When the next write may begin: at once, or `between` after the last. A clock that went back holds nobody up for longer.
local function next_moment(name, between)
  local at = tonumber(redis.call('GET', line(name, 'next')) or 0)
  return at > NOW + between + 1 and set_moment(name, between, NOW + between) or at
end

-- Takes the places of a write until `over`, or has its step wait: then says after how many ms it comes by itself, 0 if it
-- is called, why, and at which place in line. `age` is how long ago the look was sent that says it is needed: with a place that was over by then
-- the host is through.
local function wait_for_place(op, host, step, id, undo, age, over)
  if not op.limited then return end
  local me = ticket(undo, host)
  step.since = step.since or NOW
  local rank = step.since - (undo and UNDO_FIRST or 0)
  local function waits(name, why, at, again, part)
    redis.call('SADD', QUEUED, host)
    wait_until(host, at)
    step.kind, step.reason = nil, why .. (name == ALL and ' at all hosts together' or ' at ' .. name)
    local number = redis.call('ZRANK', line(name, part), me) + 1
    return { 'busy', string.format('%.0f', again), step.reason .. ', number ' .. number .. ' in line' }
  end
  local busy = each_limit(host, function(name, limit, places)
    if limit.places then
      redis.call('ZREMRANGEBYSCORE', places, '-inf', NOW - age)
      if not redis.call('ZSCORE', places, me) then
        redis.call('ZADD', line(name, 'queue'), rank, me)
        call_next(name, me)
      end
      if not redis.call('ZSCORE', places, me) then
        local older = redis.call('ZRANK', line(name, 'queue'), me)
        local at = NOW + (over - NOW) * math.ceil((older + 1) / limit.places) -- if all before it take as long as they may
        if older == 0 then at = tonumber(redis.call('ZRANGE', places, 0, 0, 'WITHSCORES')[2]) end
        return waits(name, 'waits for one of ' .. limit.places .. ' writes', at, 0, 'queue')
      end
    end
    if limit.rate then
      local between, pace = 1000 / limit.rate, line(name, 'pace')
      local again = next_moment(name, between) + between * redis.call('ZCOUNT', pace, '-inf', '(' .. rank) - NOW
      if again > 0 then
        redis.call('ZADD', pace, rank, me)
        local at = NOW + again + op.patience
        each_limit(host, function(_, _, kept) redis.call('ZADD', kept, 'XX', at, me) end)
        return waits(name, 'waits for one of ' .. limit.rate .. ' writes a second', at, math.max(1, again), 'pace')
      end
    end
  end)
  if busy then return busy end
  each_limit(host, function(name, limit, places)
    for _, part in ipairs({ 'queue', 'pace', 'places' }) do redis.call('ZREM', line(name, part), me) end
    if limit.places then take(places, id, over) end
    if limit.rate then
      local between = 1000 / limit.rate
      set_moment(name, between, math.max(NOW, next_moment(name, between)) + between)
    end
  end)
  redis.call('SREM', QUEUED, host)
  step.since = nil
end
