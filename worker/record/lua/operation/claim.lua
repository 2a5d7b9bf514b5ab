-- claim: decide if it is time, and claim what is to be published next, so that it is published once.
-- ARGV  3 resume ('' for all but the sweep)
-- Returns  nothing for an operation that is unknown or has ended; else its phase (forward | gate | rollback | settle | wait), group
--          and action, the number of its wave or round (or ''), then hosts: all of a phase that nobody has published yet; to the sweep also those whose
--          recorded wait is over and, once nothing has moved for the sweep's patience (doubled at each resumption), all
--          that wait for nothing.
-- Atomic, because the claim, the waits and the operation's next due time belong together.
if not op then redis.call('ZREM', DUE, ID) end
if not op or op.ended then return {} end
move(op)
if run.ending then end_if_done(op) end
if op.ended then return {} end

local phase, members, label = phase_of(op)
local said = { phase, op.group, op.action, string.match(label or '', ':(%d+)') or '' }
local function add(host) said[#said + 1] = host end
if not members then return said end -- it bakes, or is held
if op.dispatched ~= label then
  set({ dispatched = label })
  for _, host in ipairs(redis.call('SMEMBERS', members)) do add(host) end
  progressed()
elseif ARGV[3] ~= '' then
  local claimed = {}
  for _, host in ipairs(redis.call('ZRANGEBYSCORE', WAITS, '-inf', NOW)) do
    redis.call('ZREM', WAITS, host)
    claimed[host] = true
    if redis.call('SISMEMBER', members, host) == 1 then add(host) end
  end
  if stale_at(op) <= NOW then
    for _, host in ipairs(redis.call('SMEMBERS', members)) do
      if not claimed[host] and not redis.call('ZSCORE', WAITS, host) then add(host) end
    end
    set({ progress_at = NOW, resumed = op.resumed + 1 })
  end
  run.stirred = true
end
return said
