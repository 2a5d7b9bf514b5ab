-- take: claim the hosts to be worked on next, so that each is published once.
-- ARGV  3 by (callback | sweep), 4 patience in ms
-- Returns  hosts. The callback gets all hosts of a phase, once; the sweep gets those whose recorded wait is over and,
--          once nothing has moved for the patience (doubled at each resumption), all that wait for nothing.
-- Atomic, because the claim, the waits and the operation's next due time belong together.
local op, refused = load_operation()
if refused then return refused end
if not op then redis.call('ZREM', DUE, ID) end
if not op or op.ended then return {} end
local phase, members = 'forward', TODO
if op.decision == 'roll_back' then phase, members = 'rollback', UNDO end
if op.decision == 'commit' then phase, members = 'settle', OPEN end

local hosts = {}
local function add(host) hosts[#hosts + 1] = host end
if ARGV[3] == 'callback' then
  if phase ~= 'rollback' or redis.call('HGET', OP, 'dispatched') == phase then return {} end
  redis.call('HSET', OP, 'dispatched', phase)
  for _, host in ipairs(redis.call('SMEMBERS', members)) do add(host) end
  progressed(op)
  return hosts
end

local got = redis.call('HMGET', OP, 'progress_at', 'resumed', 'deadline_at', 'dispatched')
local resumed, deadline = tonumber(got[2]), tonumber(got[3])
local stale = tonumber(got[1]) + tonumber(ARGV[4]) * 2 ^ math.min(resumed, 10)
if phase == 'rollback' and got[4] ~= phase then stale = NOW end -- decided, and nothing was published for it yet
for _, host in ipairs(redis.call('ZRANGEBYSCORE', WAITS, '-inf', NOW)) do
  redis.call('ZREM', WAITS, host)
  if redis.call('SISMEMBER', members, host) == 1 then add(host) end
end
if stale <= NOW then
  local claimed = {}
  for _, host in ipairs(hosts) do claimed[host] = true end
  for _, host in ipairs(redis.call('SMEMBERS', members)) do
    if not claimed[host] and not redis.call('ZSCORE', WAITS, host) then add(host) end
  end
  resumed = resumed + 1
  redis.call('HSET', OP, 'progress_at', NOW, 'resumed', resumed, 'dispatched', phase)
  stale = NOW + tonumber(ARGV[4]) * 2 ^ math.min(resumed, 10)
end
local due = stale
if not op.decision and deadline > NOW then due = math.min(due, deadline) end
local first = redis.call('ZRANGE', WAITS, 0, 0, 'WITHSCORES')
if first[2] then due = math.min(due, tonumber(first[2])) end
redis.call('ZADD', DUE, 'XX', due, ID)
return hosts
