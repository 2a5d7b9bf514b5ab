-- accept: record a new operation and take its group's lock.
-- ARGV  3 group, 4 action, 5 payload fingerprint, 6 hosts as JSON [[name, fingerprint], ...],
--       7 deadline in ms from now, 8 who, 9 the sweep's patience in ms, 10 memory watermark (share of maxmemory),
--       11 for a repair: what `ends` must still say, as JSON {host: text}; otherwise '',
--       12 tries beyond the first after which a host is given up ('' for no bound but time),
--       13 whose the id is ('' for anybody's), 14 for an operation with waves ('' otherwise), as JSON: deadline, bake,
--       hold_most and within in ms, gate, hold, and waves and health by host,
--       15 for a thing with content ('' otherwise), as JSON: its kind, definition, target, lock and how it counts,
--       16 the texts that belong to it, as JSON by digest
-- Returns  accepted | existing | reused | theirs + who asked then | paused + a host, its pause as JSON and how many hosts are |
--          busy + the lock's owner | full + used and maximum bytes | stale
-- Atomic, because the lock, the record and its due time must exist together or not at all: if the
-- caller dies right after this script, the sweep finds the operation.
local kept = redis.call('HMGET', OP, 'payload', 'owner', 'created_by')
if kept[1] then
  if kept[1] ~= ARGV[5] then return { 'reused' } end
  if kept[2] and ARGV[13] ~= '' and kept[2] ~= ARGV[13] then return { 'theirs', kept[3] } end
  return { 'existing' }
end

local hosts = cjson.decode(ARGV[6])
local paused, first, needed = {}, nil, 0
for host, text in entries(PREFIX .. 'paused') do paused[host] = text end
for _, host in ipairs(hosts) do
  if paused[host[1]] then
    first = first or host[1]
    needed = needed + 1
  end
end
if first then return { 'paused', first, paused[first], tostring(needed) } end

local content = ARGV[15] ~= '' and cjson.decode(ARGV[15])
local lock = PREFIX .. 'lock:' .. (content and content.lock or ARGV[3])
local owner = redis.call('GET', lock)
if owner then return { 'busy', owner } end

local memory = redis.call('INFO', 'memory')
local used = tonumber(string.match(memory, 'used_memory:(%d+)'))
local maximum = tonumber(string.match(memory, 'maxmemory:(%d+)'))
if maximum and maximum > 0 and used >= maximum * tonumber(ARGV[10]) then
  return { 'full', tostring(used), tostring(maximum) }
end

if ARGV[11] ~= '' then
  for host, text in pairs(cjson.decode(ARGV[11])) do
    if redis.call('HGET', PREFIX .. 'ends:' .. ARGV[3], host) ~= text then return { 'stale' } end
  end
  redis.call('HSET', OP, 'repairs', '1')
end
local waved = ARGV[14] ~= '' and cjson.decode(ARGV[14])
local last = 1
local known = {} -- by host: what the last operation left there, and of which target that is the host's own form
if content then
  for host, text in entries(PREFIX .. 'left:' .. ARGV[3]) do
    local form, fingerprint, target = string.match(text, '^(%S+) %S+ %S+ (%S+) (%S+)$')
    if target == content.target then known[host] = { form, fingerprint } end
  end
end
local limits = {}
for _, name in ipairs(redis.call('HKEYS', PREFIX .. 'limits')) do limits[name] = true end
local limited = limits['*']
local names, steps = {}, {}
for _, host in ipairs(hosts) do
  local name, form = host[1], known[host[1]]
  local wave, health = waved and waved.waves[name], waved and waved.health[name] or nil
  if wave and wave > 1 then
    last = math.max(last, wave)
    redis.call('ZADD', LATER, wave, name)
  else
    wave = nil
    names[#names + 1] = name
  end
  limited = limited or limits[name]
  local as_seen = form and form[2] == host[2] and form[1] or nil
  steps[#steps + 1] = name
  steps[#steps + 1] = cjson.encode({ fingerprint = host[2], wave = wave, health = health, as_seen = as_seen })
end
call_in_chunks('SADD', TODO, names)
call_in_chunks('HSET', STEPS, steps)
local deadline = NOW + tonumber(ARGV[7])
redis.call('HSET', OP, 'format', FORMAT, 'group', ARGV[3], 'action', ARGV[4], 'state', 'applying',
  'payload', ARGV[5], 'total', #hosts, 'failed', 0, 'created_at', NOW, 'created_by', ARGV[8],
  'deadline_at', deadline, 'progress_at', NOW, 'resumed', 0, 'patience', ARGV[9],
  'dispatched', 'forward') -- the caller publishes it
if ARGV[12] ~= '' then redis.call('HSET', OP, 'retries', ARGV[12]) end
if ARGV[13] ~= '' then redis.call('HSET', OP, 'owner', ARGV[13]) end
if waved then
  redis.call('HSET', OP, 'format', WAVED, 'dispatched', 'forward:1', 'stage', 'working', 'wave', 1, 'waves', last,
    'deadline', ARGV[7], 'bake', waved.bake, 'bake_until', 0, 'changed', 0, 'round', 0, 'hold_no', 0, 'released_no', 0,
    'hold_most', waved.hold_most, 'opened', redis.call('SCARD', TODO), 'gate', waved.gate and '1' or '0', 'auto_hold', waved.hold and '1' or '0')
  if waved.within then redis.call('HSET', OP, 'expires_at', NOW + waved.within) end
end
if limited then redis.call('HSET', OP, 'limited', '1', 'format', WAVED) end
if content then
  redis.call('HSET', OP, 'format', FILLED, 'content', ARGV[15])
  for digest, text in pairs(cjson.decode(ARGV[16])) do redis.call('HSET', TEXTS, digest, text) end
end
redis.call('SET', lock, ID)
redis.call('ZREM', PREFIX .. 'dropped', ID)
redis.call('ZADD', OPERATIONS, NOW, ID)
operation, run.stirred = nil, true
load_operation()
if operation.auto_hold and last > 1 then hold(operation, 'the operation', 'it is held after each wave') end
return { 'accepted' }
