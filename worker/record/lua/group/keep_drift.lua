-- keep_drift: record what a look at a group found, unless something moved since the look began.
-- Stands alone: it is about a group, not about an operation.
-- KEYS   1 lock, 2 ends, 3 drift
-- ARGV   1 group, 2 the ends that the look began with, as JSON {host: text},
--        3 what it found, as JSON {host: drift as JSON, or '' for none}
-- Returns  the hosts of which the drift was not known yet; false if an operation is at work or has ended since
-- Atomic, because what a host showed while an operation was at work on it is no drift.
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local began, now = cjson.decode(ARGV[2]), redis.call('HGETALL', KEYS[2])
for i = 1, #now, 2 do
  -- One that somebody has damaged was no end when the look began either.
  local left = string.match(now[i + 1], '^(%l+) [^ ]+ %d+ [^ ]*$')
  local is_end = left == 'absent' or left == 'present'
  if began[now[i]] ~= now[i + 1] and (began[now[i]] or is_end) then return false end
  began[now[i]] = nil
end
if next(began) then return false end
local new = {}
for host, text in pairs(cjson.decode(ARGV[3])) do
  local name = ARGV[1] .. ' ' .. host
  if text == '' then
    redis.call('HDEL', KEYS[3], name)
  else
    local known = redis.call('HGET', KEYS[3], name)
    local _, read = pcall(cjson.decode, known) -- the error, a text, if it is none
    if type(read) ~= 'table' or read['end'] ~= cjson.decode(text)['end'] then
      redis.call('HSET', KEYS[3], name, text)
      new[#new + 1] = host
    end
  end
end
return new
