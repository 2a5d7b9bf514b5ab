"""Finding out how one host behaves, on groups of our own that are deleted again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.doctor.scratch import LateWrite, NoUsableAnswer, Scratch, measure, on_late_writes
from lockstep.producer.operators.hosts import ask
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, Presence
from lockstep.worker.operation.names import named
from lockstep.worker.settings import Settings


@dataclass(slots=True)
class Probe:
    """What is known of one host so far."""

    host: Host
    settings: Settings
    watch: float
    """Seconds for which a write whose client left is looked for."""
    late_writes: list[LateWrite] = field(default_factory=list)
    left: list[GroupId] = field(default_factory=list)
    """Scratch groups that could not be deleted."""

    def run(self) -> Generator[Finding]:
        """Yield what is found, as it is found; every scratch group is deleted however this ends.

        Raises HostUnavailable, with nothing written, if the host gives no usable answer to a GET.
        """
        scratch = Scratch(self.host, self.settings)
        ask(self.host, scratch.new_group(), self.settings)
        try:
            yield from contract(scratch)
            self.late_writes = measure(scratch, self.watch)
            yield from on_late_writes(self.late_writes, self.watch, self.settings)
        finally:
            self.left = scratch.clear()
        if self.left:
            text = f"{', '.join(self.left)} could not be deleted"
            yield Finding("clean-up", Level.FAILURE, text, f"delete them on {self.host.name}")
            return
        text = f"all {len(scratch.written)} scratch groups are gone"
        # Their creation was asked for, and may still take effect.
        if unseen := [group for group, seen in scratch.written.items() if not seen]:
            text += f"; not seen yet, and possible later: {named(unseen)}"
        yield Finding("clean-up", Level.OK, text)


TRIES = 10
"""Times that a call is made, each on a state of its own, until its answer tells something."""
PAUSE = 0.1
"""Seconds between them, growing with each."""
CALLS = 4
"""Times `call_timeout`: a host that hangs on every call is not waited for much longer."""
OWN_FIELD = "lockstepProbe"
BROKEN = "Lockstep relies on this answer (docs/protocol.md): see the node, and what stands in front of it"
REFUSED = "see what the node allows, and the token in the inventory"
LOST = "the rollback of a delete cannot bring that back: keep it somewhere else"


def contract(scratch: Scratch) -> Iterator[Finding]:
    """Yield what each call of the contract brought; without a group that can be created it ends early."""
    for subject, look in CHECKS.items():
        found = _tried(subject, look, scratch)
        yield found
        if subject == POST and found.level is Level.FAILURE:
            return


Told = tuple[Level, str, str | None]
"""What a call brought: how bad it is, in which words, and what mends it."""


def _tried(subject: str, look: Callable[[Scratch], Told], scratch: Scratch) -> Finding:
    """Look until the host gives an answer that tells something, none begun after `CALLS` calls' time."""
    ends = time.monotonic() + CALLS * scratch.settings.call_timeout
    tries = 0
    while True:
        tries += 1
        try:
            return Finding(subject, *look(scratch))
        except NoUsableAnswer as error:
            if tries == TRIES or time.monotonic() >= ends:
                text = f"no usable answer in {tries} tries ({error})"
                return Finding(subject, Level.FAILURE, text, "see the log of the node")
            time.sleep(PAUSE * tries)


def _written(scratch: Scratch, group: GroupId, wanted: Presence) -> Told:
    """Bring a group there, and see after how long a GET shows it: at once, or as the inventory says."""
    made = wanted is Presence.PRESENT
    answer = scratch.post(group) if made else scratch.delete(group)
    said = _expected(answer, Effect.APPLIED, "201" if made else "200")
    took = scratch.shown_after(group, wanted) if said[0] is Level.OK else 0.0
    if took is None:
        shows = "does not show" if made else "still shows"
        return Level.FAILURE, f"{said[1]}, but a GET {shows} the group", BROKEN
    if not took:
        return said
    text = f"{said[1]}, and a GET shows it after {took:.1f} s"
    if took <= scratch.host.shows_after:
        return Level.OK, f"{text}, as shows_after says", None
    enough = math.ceil(2 * took)
    remedy = f"`shows_after: {enough}s` for this host in the inventory: docs/inventory.md"
    if enough > scratch.settings.settle_seconds:
        remedy += f"; and LOCKSTEP_SETTLE_SECONDS={enough}, or more"
    return Level.WARNING, text, remedy


def _fields(scratch: Scratch) -> Told:
    group = scratch.new_group()
    answer = scratch.post(group, json.dumps({"groupId": group, OWN_FIELD: "kept"}))
    if answer.effect in (Effect.CONTESTED, Effect.REFUSED):
        return Level.OK, f"refused ({answer.text})", None
    _clear(answer)
    scratch.shown_after(group, Presence.PRESENT)
    return Level.OK, "kept" if OWN_FIELD in scratch.content(group) else "dropped without a word", None


def _restore(scratch: Scratch) -> Told:
    """Send back what GET had shown of a deleted group, as the rollback of a delete does."""
    group = scratch.present_group()
    before = scratch.content(group)
    _clear(scratch.delete(group))
    scratch.shown_after(group, Presence.ABSENT)
    answer = scratch.post(group, json.dumps(before))
    if answer.effect in (Effect.CONTESTED, Effect.REFUSED):
        return Level.WARNING, f"POST refuses what GET had shown ({answer.text}), but the id", LOST
    _clear(answer)
    scratch.shown_after(group, Presence.PRESENT)
    lost = sorted(before.keys() - scratch.content(group).keys())
    if lost:
        return Level.WARNING, f"POST of what GET had shown loses {', '.join(lost)}", LOST
    return Level.OK, "POST takes back all that GET had shown", None


def _shown(scratch: Scratch, group: GroupId, wanted: Presence, rule: str) -> Told:
    answer = scratch.look(group)
    if answer.presence is wanted:
        return Level.OK, answer.text, None
    return Level.FAILURE, f"{answer.text}, instead of {rule}", BROKEN


def _expected(answer: WriteAnswer, wanted: Effect, rule: str) -> Told:
    if answer.effect is wanted:
        return Level.OK, answer.text, None
    if answer.effect in (Effect.UNKNOWN, Effect.NOT_APPLIED, Effect.MISDIRECTED):
        raise NoUsableAnswer(answer.text)
    remedy = REFUSED if answer.effect is Effect.REFUSED else BROKEN
    return Level.FAILURE, f"{answer.text}, instead of {rule}", remedy


def _clear(answer: WriteAnswer) -> None:
    if answer.effect is not Effect.APPLIED:
        raise NoUsableAnswer(answer.text)


POST = "POST of a new group"
CHECKS: dict[str, Callable[[Scratch], Told]] = {
    "GET of an absent group": lambda of: _shown(of, of.new_group(), Presence.ABSENT, "404"),
    POST: lambda of: _written(of, of.new_group(), Presence.PRESENT),
    "GET of a present group": lambda of: _shown(of, of.present_group(), Presence.PRESENT, "200"),
    "POST of a present group": lambda of: _expected(
        of.post(of.present_group()), Effect.CONTESTED, "400 or 409"
    ),
    "DELETE of a present group": lambda of: _written(of, of.present_group(), Presence.ABSENT),
    "DELETE of an absent group": lambda of: _expected(
        of.delete(of.new_group()), Effect.CONTESTED, "400 or 404"
    ),
    "unknown fields": _fields,
    "restoring a group": _restore,
}
