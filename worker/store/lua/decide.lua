-- decide: commit or roll back, once and for ever.
-- ARGV  3 commit | roll_back, 4 reason
-- Returns  the decision that holds now ('' while there is none) + 1 if this call made it
-- Atomic, because two deciders must not both win, and a commit must see every outcome.
local op, refused = load_operation()
if refused then return refused end
if not op then return { '', '0' } end
if op.decision then return { op.decision, '0' } end
local decision = ARGV[3]
if decision == 'commit' then
  local failed = tonumber(redis.call('HGET', OP, 'failed'))
  if failed > 0 or redis.call('SCARD', TODO) > 0 then return { '', '0' } end
end
set_decision(op, decision, ARGV[4])
if not end_if_done(op) and decision == 'commit' then
  for _, host in ipairs(redis.call('SMEMBERS', OPEN)) do
    local quiet = NOW
    for _, attempt in pairs(load_step(host).attempts) do
      if is_open(attempt) then quiet = math.max(quiet, attempt.quiet) end
    end
    wait_until(host, quiet)
  end
end
announce('decided')
return { decision, '1' }
