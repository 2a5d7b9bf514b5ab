-- keep_drift: record what a look at a group found, unless something moved since the look began.
-- Stands alone: it is about a group, not about an operation.
-- KEYS   1 lock, 2 ends, 3 drift
-- ARGV   1 group, 2 the ends that the look began with, as JSON {host: text},
--        3 what it found, as JSON {host: drift as JSON, or '' for none}
-- Returns  the hosts of which the drift was not known yet; false if an operation is at work or has ended since
-- Atomic, because what a host showed while an operation was at work on it is no drift.
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local began, n = cjson.decode(ARGV[2]), 0
for host, text in pairs(began) do
  if redis.call('HGET', KEYS[2], host) ~= text then return false end
  n = n + 1
end
if redis.call('HLEN', KEYS[2]) ~= n then return false end
local new = {}
for host, text in pairs(cjson.decode(ARGV[3])) do
  local name = ARGV[1] .. ' ' .. host
  if text == '' then
    redis.call('HDEL', KEYS[3], name)
  else
    local known = redis.call('HGET', KEYS[3], name)
    if not known or cjson.decode(known)['end'] ~= cjson.decode(text)['end'] then
      redis.call('HSET', KEYS[3], name, text)
      new[#new + 1] = host
    end
  end
end
return new
