"""The mutants of waves, opened too soon or never held, and of the limit that all workers share."""

from __future__ import annotations

from tests.mutants.tree import mutant

WAVES = (
    mutant(
        "begin does not look whether the host's wave is open",
        ("begin.lua", "if no then", "if no and no[1] ~= 'not_open' then"),
        (
            "store.py",
            "if no is not None:\n            return no\n        if at",
            "if no is not None and no.next is not Forward.NOT_OPEN:\n            return no\n        if at",
        ),
    ),
    mutant(
        "missed does not look whether the host's wave is open",
        ("missed.lua", "if no then", "if no and no[1] ~= 'not_open' then"),
        (
            "store.py",
            "if no is not None:\n            return no\n        now",
            "if no is not None and no.next is not Forward.NOT_OPEN:\n            return no\n        now",
        ),
    ),
    mutant(
        "an operation is committed once its open wave is done",
        ("rule.lua", "if op.wave >= op.waves then", "if op.wave >= 1 then"),
        (
            "books.py",
            "waves.stage is Stage.WAITING and waves.wave >= waves.last",
            "waves.stage is Stage.WAITING",
        ),
    ),
    mutant(
        "a hold does not keep the next wave from opening",
        ("rule.lua", "  elseif not op.held then\n", "  else\n"),
        ("books.py", "if waves.stage is Stage.WAITING and waves.hold is not None:", "if not waves:"),
    ),
    mutant(
        "a promote releases whatever holds the operation",
        ("promote.lua", "if number ~= op.hold_no then", "if false then"),
        ("waves.py", "        if number != waves.hold_no:\n            return Refusal.OTHER\n", ""),
    ),
    mutant(
        "a look of the gate counts in any round",
        ("gate_seen.lua", " and op.round == round and", " and"),
        ("waves.py", "waves.round != number or ", ""),
    ),
    mutant(
        "a release opens no round of the gate",
        ("promote.lua", "if op.stage == 'waiting' and op.gate then", "if false then"),
        ("waves.py", "if waves.stage is Stage.WAITING and waves.asked.gate:", "if not waves:"),
    ),
    mutant(
        "the bake of a wave is not waited for",
        ("rule.lua", "if NOW < op.bake_until then return end", ""),
        (
            "books.py",
            "            case Stage.BAKING if now < waves.bake_until:\n                return False\n",
            "",
        ),
    ),
    mutant(
        "the sweep looks at an operation that is held",
        ("rule.lua", "if members then by(op.deadline_at) end", "by(op.deadline_at)"),
        ("books.py", "None if waits else record.deadline_at", "record.deadline_at"),
    ),
    mutant(
        "nobody is told to publish the wave that a call has opened",
        ("serve.lua", "if opened and unpublished(operation) then called[#called + 1] = ID end\n", ""),
        ("books.py", "if opened and record.id not in self._called:", "if False:"),
    ),
    mutant(
        "a place is free once its time is over, whenever the look was sent",
        ("limit.lua", "NOW - age)", "NOW)"),
        ("limit.py", "if at > now - age}", "if at > now}"),
    ),
    mutant(
        "undo stands in line behind forward work",
        ("limit.lua", "(undo and UNDO_FIRST or 0)", "0"),
        ("limit.py", "(UNDO_FIRST if undo else 0)", "0"),
    ),
    mutant(
        "no place is for undo alone",
        ("limit.lua", "((undo or most < 2) and 0 or 1)", "0"),
        ("limit.py", "own = 0 if first[0] or most < 2 else 1", "own = 0"),
    ),
    mutant(
        "a place that is kept for forward work does not yield to undo",
        ("limit.lua", "undo and kept_for_forward(places)", "false"),
        ("limit.py", "if not (first[0] and kept):", "if first:"),
    ),
    mutant(
        "who comes to stand first in line does not wake by itself",
        ("limit.lua", "if not kept then return wake(", "if not kept then return tostring("),
        ("limit.py", "                    self._wake(first, min(line.places.values()))\n", ""),
    ),
    mutant(
        "who is decided stays in line",
        ("rule.lua", "  if op.limited then leave(op, redis.call('SMEMBERS', QUEUED)) end\n", ""),
        ("books.py", "        self._leave(record, record.queued.copy())\n", ""),
    ),
    mutant(
        "nobody is called when a place is given back",
        ("limit.lua", "== 1 then call_next(name) end", "== 1 then return end"),
        (
            "limit.py",
            "attempt, None) is not None:\n                self._call_next(name)",
            "attempt, None) is not None:\n                pass",
        ),
    ),
    mutant(
        "all that wait for the moment of a rate are told the same one",
        ("limit.lua", "between * redis.call('ZCOUNT'", "0 * redis.call('ZCOUNT'"),
        ("limit.py", "sum(at < rank for at in line.pace.values())", "0"),
    ),
)
