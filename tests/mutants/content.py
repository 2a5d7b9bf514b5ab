"""The mutants of content: what would take a look for what it is not, or write over somebody else's."""

from __future__ import annotations

from tests.mutants.tree import mutant

CONTENT = (
    mutant(
        "an answer alone proves a write of content",
        (
            "finish.lua",
            "  if overwrote then\n",
            "  if effect == 'applied' then set_outcome(host, step, 'applied')\n  elseif overwrote then\n",
        ),
        (
            "content.py",
            "            if overwrote or effect in FAILS:\n",
            (
                "            if effect is Effect.APPLIED:\n"
                "                self._set_outcome(record, host, step, Outcome.APPLIED)\n"
                "            elif overwrote or effect in FAILS:\n"
            ),
        ),
    ),
    mutant(
        "what was before is learned as the target",
        (
            "shown.lua",
            "shows == 'like' and landed and known and seen ~= step.was",
            "shows == 'like' and landed and known",
        ),
        (
            "content.py",
            "look.shows is Likeness.LIKE and landed and known and seen != step.trace.was",
            "look.shows is Likeness.LIKE and landed and known",
        ),
    ),
    mutant(
        "a host that changed nothing is written to again",
        ("shown.lua", "elseif answered and seen == step.was then", "elseif false then"),
        (
            "content.py",
            "answered and newest is not None and seen == step.trace.was",
            "answered and newest is None",
        ),
    ),
    mutant(
        "a third hand's content is written over",
        (
            "shown.lua",
            "elseif landed and not target and shows ~= 'like' and seen ~= step.was then",
            "elseif false then",
        ),
        (
            "content.py",
            "if landed and not target and look.shows is Likeness.OTHER and seen != step.trace.was:",
            "if not record:",
        ),
    ),
    mutant(
        "a third hand's content is undone without a person",
        (
            "restore.lua",
            "if not target and shows ~= 'like' and seen ~= step.restore_over then",
            "if false then",
        ),
        (
            "content.py",
            "if not target and look.shows is Likeness.OTHER and seen != trace.restore_over:",
            "if not record:",
        ),
    ),
    mutant(
        "a person's word holds for whatever is shown later",
        ("restore.lua", "seen ~= step.restore_over then", "not step.restore_over then"),
        ("content.py", "seen != trace.restore_over:", "not trace.restore_over:"),
    ),
    mutant(
        "what the first look showed stays `before` although nothing landed",
        ("shown.lua", "if not landed then -- nothing", "if not step.was then -- nothing"),
        ("content.py", "        if not landed:\n", "        if step.trace.was is None:\n"),
    ),
    mutant(
        "a look at the other fields proves a secret",
        ("shown.lua", "local known = answers > 0 or not op.content.secret", "local known = true"),
        ("content.py", "known = answers or not record.content.secret", "known = answers or step is not None"),
    ),
    mutant(
        "`replaced` counts as applied whoever made what was replaced",
        ("finish.lua", "and not attempt.undo and not has_landed(step, id)", "and false"),
        ("content.py", "and not kept.undo and not ours", "and not kept"),
    ),
    mutant(
        "what nothing of ours landed on is undone",
        ("restore.lua", "if not has_landed(step) then return prove() end", "if false then return end"),
        ("content.py", "if not step.landed or seen == trace.was or like", "if seen == trace.was or like"),
    ),
    mutant(
        "a restore is proved while a write may land",
        ("restore.lua", "if open > 0 or tonumber(ARGV[6]) > 0 then return came('settle') end", ""),
        (
            "content.py",
            "            if opened or were_open:\n                return Forward.SETTLE\n",
            "",
        ),
    ),
    mutant(
        "an inverse that changed nothing proves a restore",
        ("restore.lua", " and seen ~= step.over and not target then", " and not target then"),
        ("content.py", " and seen != step.over and not target", " and not target"),
    ),
    mutant(
        "a conflict of versions counts as a write",
        (
            "step.lua",
            "return not attempt.undo and not attempt.later end",
            "return not attempt.undo end",
        ),
        ("content.py", "if not each.undo and not each.later]", "if not each.undo]"),
    ),
    mutant(
        "a write that has been started is sent again",
        (
            "shown.lua",
            "(attempt.started or op.content.once) end) > 0 then\n  return look",
            "op.content.once end) > 0 then\n  return look",
        ),
        (
            "content.py",
            "if any(each.started or record.content.once for each in opened):",
            "if opened and record.content.once:",
        ),
    ),
    mutant(
        "a kind whose writes take longer to show is given the setting's time",
        (
            "step.lua",
            "math.max(tonumber(given), op.content and op.content.settle or 0)",
            "tonumber(given)",
        ),
        (
            "limit.py",
            "max(self.limits.settle, record.content.settle if record.content else 0)",
            "self.limits.settle",
        ),
    ),
    mutant(
        "a form that was learned is believed for whatever target",
        ("accept.lua", "if target == content.target then", "if target then"),
        ("content.py", "left.form_of != request.content.target", "left.form_of is None"),
    ),
)
