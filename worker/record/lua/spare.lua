-- spare: keep forward looks off a host for a while, or tell whether they are. It stands alone, without record.lua.
-- KEYS   1 spared hosts
-- ARGV   1 host, 2 for how long in ms ('' only asks), 3 looks in a row that failed, 4 what came of the last
-- Returns  the store's time, then the silence as JSON if there is one, over or not
-- One script, because the while is counted by the store's clock, which all workers share.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local held = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then
  local since, long = now, tonumber(ARGV[2])
  if held then
    local ok, before = pcall(cjson.decode, held) -- somebody may have damaged it
    -- Found silent again soon after it was spared: it is the same silence.
    if ok and type(before) == 'table' and (tonumber(before['until']) or 0) + 2 * long > now then
      since = tonumber(before.since) or now
    end
  end
  held = cjson.encode({ since = since, ['until'] = now + long, failures = tonumber(ARGV[3]), why = ARGV[4] })
  redis.call('HSET', KEYS[1], ARGV[1], held)
  redis.call('PEXPIRE', KEYS[1], 86400000) -- whoever was to end it may have died
end
return { tostring(now), held or nil }
