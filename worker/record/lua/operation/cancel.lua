-- cancel: decide to roll back because somebody asked for it.
-- ARGV  3 who, and why
-- Returns  nothing once it is done | commit | roll_back | unknown
-- Atomic, because an operation is decided once.
if not op then return { 'unknown' } end
if op.decision then
  if op.reason_kind == 'cancelled' and op.reason == ARGV[3] then return {} end
  return { op.decision }
end
decide(op, 'roll_back', { kind = 'cancelled', detail = ARGV[3] })
return {}
