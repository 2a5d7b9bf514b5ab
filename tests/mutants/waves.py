"""The mutants of waves: what would open one too soon, or keep nobody from going on."""

from __future__ import annotations

from tests.mutants.tree import mutant

WAVES = (
    mutant(
        "begin does not look whether the host's wave is open",
        ("begin.lua", "if no then", "if no and no[1] ~= 'not_open' then"),
        (
            "store.py",
            "if no is not None:\n            return no\n        known",
            "if no is not None and no.next is not Forward.NOT_OPEN:\n            return no\n        known",
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
            "waves.stage is Stage.WAITING and waves.wave >= waves.asked.last",
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
        ("waves.py", "        if number != waves.hold_no:\n            return Refused.OTHER\n", ""),
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
)
