"""The mutants of content: what would take a look for what it is not, or write over somebody else's."""

from __future__ import annotations

from tests.mutants.tree import Mutant, content, lua


def both(name: str, script: tuple[str, str, str], twin: tuple[str, str]) -> Mutant:
    """A mutant of a transition, in its script and in its twin."""
    return Mutant(name, script=(lua(*script),), twin=(content(*twin),))


CONTENT = (
    both(
        "an answer alone proves a write of content",
        (
            "wrote",
            "  if overwrote then\n",
            ("  if effect == 'applied' then set_outcome(host, step, 'applied')\n  elseif overwrote then\n"),
        ),
        (
            "            if overwrote or effect in FAILS:\n",
            (
                "            if effect is Effect.APPLIED:\n"
                "                self._set_outcome(record, host, step, Outcome.APPLIED)\n"
                "            elif overwrote or effect in FAILS:\n"
            ),
        ),
    ),
    both(
        "what was before is learned as the target",
        ("shown", "shows == 'like' and landed and seen ~= step.was", "shows == 'like' and landed"),
        (
            "look.shows is Shows.LIKE and landed and seen != step.trace.was",
            "look.shows is Shows.LIKE and landed",
        ),
    ),
    both(
        "a host that changed nothing is written to again",
        ("shown", "elseif answered and seen == step.was then", "elseif false then"),
        ("answered and newest is not None and seen == step.trace.was", "answered and newest is None"),
    ),
    both(
        "a third hand's content is written over",
        (
            "shown",
            "elseif landed and not target and shows ~= 'like' and seen ~= step.was then",
            "elseif false then",
        ),
        (
            ("if landed and not target and look.shows is Shows.OTHER and seen != step.trace.was:"),
            "if not record:",
        ),
    ),
    both(
        "a third hand's content is undone without a person",
        (
            "restoring",
            "if not target and shows ~= 'like' and seen ~= step.restore_over then",
            "if false then",
        ),
        ("if not target and look.shows is Shows.OTHER and seen != trace.restore_over:", "if not record:"),
    ),
    both(
        "a person's word holds for whatever is shown later",
        ("restoring", "seen ~= step.restore_over then", "not step.restore_over then"),
        ("seen != trace.restore_over:", "not trace.restore_over:"),
    ),
    both(
        "what the first look showed stays `before` although nothing landed",
        ("shown", "if not landed then -- nothing", "if not step.was then -- nothing"),
        ("        if not landed:\n", "        if step.trace.was is None:\n"),
    ),
    both(
        "a look at the other fields proves a secret",
        ("shown", "if target and (answers > 0 or not op.content.secret) then", "if target then"),
        ("if target and (proven or not record.content.secret):", "if target:"),
    ),
    both(
        "`replaced` counts as applied whoever made what was replaced",
        ("wrote", "and not attempt.undo and not ours", "and false"),
        ("and not kept.undo and not ours", "and not kept"),
    ),
    both(
        "what nothing of ours landed on is undone",
        ("restoring", "if not has_landed(step) then return prove() end", "if false then return end"),
        ("if not step.landed or seen == trace.was or like", "if seen == trace.was or like"),
    ),
    both(
        "a restore is proved while a write may land",
        ("restoring", "if open > 0 or tonumber(ARGV[6]) > 0 then return came('settle') end", ""),
        (("            if opened or open_before:\n                return Restoring.SETTLE\n"), ""),
    ),
    both(
        "an inverse that changed nothing proves a restore",
        ("restoring", " and seen ~= step.over and not target then", " and not target then"),
        (" and seen != step.over and not target", " and not target"),
    ),
    both(
        "a conflict of versions counts as a write",
        (
            "shown",
            ("return not attempt.undo and not attempt.later end)\nif"),
            ("return not attempt.undo end)\nif"),
        ),
        ("if not each.undo and not each.later]", "if not each.undo]"),
    ),
    both(
        "a write that has been started is sent again",
        (
            "shown",
            ("(attempt.started or op.content.once) end) > 0 then\n  return look"),
            ("op.content.once end) > 0 then\n  return look"),
        ),
        (
            "if any(each.started or record.content.once for each in opened):",
            "if opened and record.content.once:",
        ),
    ),
)
