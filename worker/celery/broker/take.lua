-- Notes a message as unacknowledged that was taken from its queue, takes more from there and notes those as well.
-- KEYS  1 queue, 2 unacknowledged messages, 3 their times
-- ARGV  1 most messages to take, 2 delivery tag and 3 entry of the message that was taken
-- Returns  the messages that were taken, each after its delivery tag, which is '' for one that cannot be read
-- Atomic, so that no message is neither in its queue nor noted. Half of what waits is left to other workers.
local QUEUE, UNACKED, TIMES = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local NOW = clock[1] + clock[2] / 1000000 -- in seconds, as kombu has it, though by our clock

local function read(message)
  local properties = cjson.decode(message).properties
  local tag, info = properties.delivery_tag, properties.delivery_info
  assert(type(tag) == 'string' and tag ~= '')
  return tag, '[' .. message .. ',' .. cjson.encode(info.exchange) .. ',' .. cjson.encode(info.routing_key) .. ']'
end

-- First: where Redis has no memory left it refuses this, and nothing has been taken yet.
redis.call('HSET', UNACKED, ARGV[2], ARGV[3])
redis.call('ZADD', TIMES, NOW, ARGV[2])
local most = math.min(tonumber(ARGV[1]), math.ceil(redis.call('LLEN', QUEUE) / 2))
local taken, entries, times = {}, {}, {}
local messages = most > 0 and redis.call('RPOP', QUEUE, most) or {}
for _, message in ipairs(messages) do
  local readable, tag, entry = pcall(read, message)
  if readable then
    table.insert(entries, tag)
    table.insert(entries, entry)
    table.insert(times, NOW)
    table.insert(times, tag)
  end
  table.insert(taken, readable and tag or '')
  table.insert(taken, message)
end
if #entries > 0 then
  redis.call('HSET', UNACKED, unpack(entries))
  redis.call('ZADD', TIMES, unpack(times))
end
return taken
