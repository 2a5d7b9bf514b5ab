-- forget_group: drop what is remembered of a group that was deleted everywhere, and that nothing can bring back any more.
-- Stands alone: it is about a group, not about an operation.
-- KEYS   1 lock, 2 ends, 3 suspects, 4 patrol, 5 drift
-- ARGV   1 group, 2 the moment (ms) before which its last operation must have ended, 3 1 to drop it, 0 to look only
-- Returns  how many hosts it is remembered of, when the last operation ended; false for a group that is to be kept, or is not remembered
-- Atomic, because a group with an operation at work, a write of unknown fate or a drift must be kept.
local ends, newest = redis.call('HGETALL', KEYS[2]), 0
if #ends == 0 or redis.call('EXISTS', KEYS[1], KEYS[3]) > 0 or redis.call('ZSCORE', KEYS[4], ARGV[1]) then return false end
for i = 1, #ends, 2 do
  local at = tonumber(string.match(ends[i + 1], '^absent [^ ]+ (%d+) [^ ]*$'))
  if not at or at >= tonumber(ARGV[2]) then return false end
  if redis.call('HEXISTS', KEYS[5], ARGV[1] .. ' ' .. ends[i]) == 1 then return false end
  newest = math.max(newest, at)
end
if ARGV[3] == '1' then redis.call('DEL', KEYS[2]) end
return { tostring(#ends / 2), string.format('%.0f', newest) }
