-- hold: keep an operation from going further than the wave at work.
-- ARGV  3 who, 4 why
-- Returns  held + the hold's number, the wave at work and its stage | commit | roll_back | unknown | no_waves
-- Atomic, because a wave that opens at the same moment is opened before or after it.
if not op then return { 'unknown' } end
if op.decision then return { op.decision } end
if not op.waves then return { 'no_waves' } end
hold(op, ARGV[3], ARGV[4])
return { 'held', tostring(op.hold_no), tostring(op.wave), op.stage }
