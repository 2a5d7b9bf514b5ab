"""What the step of a thing may not do from one transition to the next, as docs/protocol.md has it.

The model of `content_steps` cannot judge it, for of a look the record keeps a digest at most. So each rule is
about what both states show, whatever was looked at in between. Calls that come together are one transition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Known = Mapping[str, Any]


class Change(NamedTuple):
    """A step before and after, what is asked of it, and how far its operation is."""

    asked: Known
    old: Known
    new: Known
    was_decided: bool
    rolls_back: bool

    def wrong(self) -> list[str]:
        """Name the rules that it breaks."""
        return [told for told, broken in RULES.items() if broken(self)]

    def came(self, name: str) -> Any:
        """What a field came to be, if it is set and was not so before."""
        return None if self.new.get(name) == self.old.get(name) else self.new.get(name)

    @property
    def opened(self) -> list[Known]:
        """The attempts that are new."""
        return [each for key, each in attempts(self.new).items() if key not in attempts(self.old)]

    @property
    def both_open(self) -> bool:
        """Whether an attempt was opened beside one that is and was open, and of its kind."""
        older = [each for key, each in still_open(self.new).items() if key in still_open(self.old)]
        return any(one["undo"] == other["undo"] for one in self.opened for other in older)

    @property
    def may_be_done(self) -> bool:
        """Whether a rollback may be through with the host."""
        return self.rolls_back and not still_open(self.new)


def attempts(step: Known) -> Known:
    """Return them by id."""
    return step.get("attempts") or {}


def still_open(step: Known) -> Known:
    """Return those that are open."""
    return {key: each for key, each in attempts(step).items() if each["state"] == "open"}


def landed(step: Known) -> bool:
    """Tell whether anything of ours may be on the host, now or later."""
    return any(each["state"] != "not_applied" for each in attempts(step).values())


def answered(step: Known) -> bool:
    """Tell whether a host has said that a write took effect."""
    return any(each["state"] == "applied" for each in attempts(step).values())


RULES: dict[str, Callable[[Change], bool]] = {
    "what was there before is read again, though a write of ours may have landed": lambda c: (
        landed(c.old) and c.old.get("was") != c.new.get("was")
    ),
    "a write without a look": lambda c: bool(c.opened) and not c.new.get("was"),
    "a write after the decision, or after the outcome": lambda c: (
        (c.was_decided or "outcome" in c.old) and any(not each["undo"] for each in c.opened)
    ),
    "an inverse that no decision or no look calls for": lambda c: (
        any(each["undo"] for each in c.opened) and not (c.rolls_back and c.new.get("over"))
    ),
    "a second write while one is open": lambda c: bool(c.asked["once"]) and c.both_open,
    "its outcome changes": lambda c: "outcome" in c.old and c.old["outcome"] != c.new.get("outcome"),
    "unchanged, though a write of ours may have landed": lambda c: (
        c.came("outcome") == "unchanged" and landed(c.new)
    ),
    "applied, and nothing of ours can have landed": lambda c: (
        c.came("outcome") == "applied" and not (landed(c.old) or landed(c.new))
    ),
    "a secret is taken for set, and no answer said so": lambda c: (
        c.came("outcome") in ("applied", "unchanged") and bool(c.asked["secret"]) and not answered(c.new)
    ),
    "what was there before is taken for the target": lambda c: (
        c.came("as_seen") is not None
        and (c.new.get("outcome") != "applied" or c.new["as_seen"] == c.new.get("was"))
    ),
    "what was overwritten is named no more": lambda c: (
        bool(c.old.get("overwrote")) and not c.new.get("overwrote")
    ),
    "a person is asked too early": lambda c: c.came("foreign") is not None and not c.may_be_done,
    "what nobody was shown is to be written over": lambda c: (
        c.came("restore_over") not in (None, c.old.get("foreign"), c.new.get("foreign"))
    ),
    "restored too early": lambda c: c.came("undo") == "restored" and not c.may_be_done,
}
"""What is said -> whether a change is so."""
