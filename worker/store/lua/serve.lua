-- Stands after each transition script, which is the function `transition`: serves every call at one moment.
-- Returns  one reply per call. A reply of 'done' has the step as JSON for its fourth string, for what is told of the host;
--          that of the call which gave the last host its outcome has 'last' for its third
local calls, hosts, replies, last = {}, {}, {}, nil
local width = (#ARGV - 3) / tonumber(ARGV[3])
for i = 1, tonumber(ARGV[3]) do
  calls[i] = { PREFIX, ID, unpack(ARGV, 4 + (i - 1) * width, 3 + i * width) }
  hosts[i] = calls[i][3]
end
if #calls > 1 then ahead = hosts end
for i, arguments in ipairs(calls) do
  local reply = transition(arguments)
  if type(reply) == 'table' and reply.err then return reply end
  replies[i] = reply
  if settled then last, settled = reply, nil end
end
if ended_by then end_if_done(ended_by) end
write()
if last and redis.call('SCARD', TODO) == 0 then last[3] = 'last' end
for i, reply in ipairs(replies) do
  if type(reply) == 'table' and reply[1] == 'done' then
    reply[3] = reply[3] or ''
    reply[4] = cjson.encode(steps[hosts[i]])
  end
end
return replies
