"""The mutants of waves: what would open one too soon, or keep nobody from going on."""

from __future__ import annotations

from tests.mutants.tree import Mutant, books, forward, lua, waves

WAVES = (
    Mutant(
        "begin does not look whether the host's wave is open",
        script=(lua("begin", "if not_open(op, step) then return { 'not_open' } end\n", ""),),
        twin=(
            forward(
                "        if host in record.later:\n            return NOT_OPEN\n        if step.fingerprint",
                "        if step.fingerprint",
            ),
        ),
    ),
    Mutant(
        "missed does not look whether the host's wave is open",
        script=(lua("missed", "if not_open(op, step) then return { 'not_open' } end\n", ""),),
        twin=(
            forward(
                "        if host in record.later:\n            return NOT_OPEN\n        if miss is",
                "        if miss is",
            ),
        ),
    ),
    Mutant(
        "an operation is committed once its open wave is done",
        script=(lua("rule", "if op.wave >= op.waves then", "if op.wave >= 1 then"),),
        twin=(
            books(
                "waves.stage is Stage.WAITING and waves.wave >= waves.asked.last",
                "waves.stage is Stage.WAITING",
            ),
        ),
    ),
    Mutant(
        "a hold does not keep the next wave from opening",
        script=(lua("rule", "  elseif not op.held then\n", "  else\n"),),
        twin=(books("if waves.stage is Stage.WAITING and waves.hold is not None:", "if not waves:"),),
    ),
    Mutant(
        "a promote releases whatever holds the operation",
        script=(lua("promote", "if number ~= op.hold_no then", "if false then"),),
        twin=(waves("        if number != waves.hold_no:\n            return Refused.OTHER\n", ""),),
    ),
    Mutant(
        "a look of the gate counts in any round",
        script=(lua("gate_seen", " and op.round == round and", " and"),),
        twin=(waves("waves.round != number or ", ""),),
    ),
    Mutant(
        "a release opens no round of the gate",
        script=(lua("promote", "if op.stage == 'waiting' and op.gate then", "if false then"),),
        twin=(waves("if waves.stage is Stage.WAITING and waves.asked.gate:", "if not waves:"),),
    ),
    Mutant(
        "the bake of a wave is not waited for",
        script=(lua("rule", "if NOW < op.bake_until then return end", ""),),
        twin=(
            books(
                "            case Stage.BAKING if now < waves.bake_until:\n                return False\n", ""
            ),
        ),
    ),
    Mutant(
        "the sweep looks at an operation that is held",
        script=(lua("rule", "if members then by(op.deadline_at) end", "by(op.deadline_at)"),),
        twin=(books("None if phase is Phase.WAIT else record.deadline_at", "record.deadline_at"),),
    ),
)
