-- promote: release the hold that somebody saw, and no other.
-- ARGV  3 the number of that hold, 4 who, and why; a producer of an earlier release says no name
-- Returns  nothing once it is done | already | other | commit | roll_back | unknown | free
-- Atomic, because nobody may release a newer hold without having seen it.
if not op then return { 'unknown' } end
if op.decision then return { op.decision } end
local number = tonumber(ARGV[3])
if not op.waves or op.hold_no == 0 then return { 'free' } end
if number <= op.released_no then return { 'already' } end
if number ~= op.hold_no then return { 'other' } end
set({ released_no = number, held = '', hold_until = '' })
op.held, op.hold_until = false, nil
if op.stage == 'waiting' and op.gate then -- what passed before the hold says nothing of now: another round
  set({ stage = 'baking', bake_until = NOW })
end
note_moment('released', number, ARGV[4])
announce('released')
progressed()
run.settled = true
return {}
