-- Stands after each transition script, which is the function `transition`: serves every call at one moment.
-- Returns  one reply per call, and, if there are any, the operations that this run has made something of due to be published; a reply of 'done' has the step as JSON for its third string, for what is told of the host
local calls, hosts, replies, moved_on = {}, {}, {}, false
local width = (#ARGV - 3) / tonumber(ARGV[3])
for i = 1, tonumber(ARGV[3]) do
  calls[i] = { PREFIX, ID, unpack(ARGV, 4 + (i - 1) * width, 3 + i * width) }
  hosts[i] = calls[i][3]
end
if #calls > 1 then ahead = hosts end
for i, arguments in ipairs(calls) do
  local op, refused = load_operation()
  if refused then return refused end
  replies[i] = transition(arguments, op)
  if run.settled then
    run.settled, moved_on = false, true
    move(operation)
  end
end
close()
local opened = moved_on and operation.waves and not operation.decision -- a wave, or a round of the gate
if opened and unpublished(operation) then called[#called + 1] = ID end
for i, reply in ipairs(replies) do
  if type(reply) == 'table' and reply[1] == 'done' then reply[3] = texts[hosts[i]] end
end
if #called > 0 then replies[#replies + 1] = called end
return replies
