"""What the values of the record mean, each read as what it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from lockstep.worker.operation.errors import ReasonKind, RecordDamaged, UnknownFormat, told, told_of
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    Decision,
    Gate,
    GroupId,
    Hold,
    HostName,
    Millis,
    Moment,
    OperationId,
    Outcome,
    Presence,
    RolloutState,
    Seen,
    Stage,
    State,
    Status,
    Step,
    Undo,
)
from lockstep.worker.operation.names import show
from lockstep.worker.operation.thing import ABSENT, Digest, ThingRequest, Trace
from lockstep.worker.operation.transitions import Forward, Progress
from lockstep.worker.record.damage import Damage, note

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
FORMAT, WAVED, FILLED = "1", "2", "3"
"""Of the records that this version writes and reads, the second with waves, the third of things with content;
`record.lua` has them too."""


class Fields:
    """Fields of the record, each read as what it must be. Raises RecordDamaged, which names the field."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._kept = kept

    @classmethod
    def of(cls, text: str) -> Fields:
        try:
            kept = json.loads(text)
        except (ValueError, RecursionError):
            kept = None
        if not isinstance(kept, dict):
            raise RecordDamaged(f"it is {show(text)}, which is no JSON object")
        return cls(kept)

    def number(self, name: str) -> int:
        value = self._kept.get(name)
        try:
            if not isinstance(value, bool):
                return int(value)  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError):
            pass
        raise self._wrong(name, "a number")

    def at(self, name: str) -> Millis:
        return Millis(self.number(name))

    def text(self, name: str) -> str:
        return self._of(str, name, "a text")

    def digest(self, name: str) -> Digest:
        return Digest(self.text(name))

    def flag(self, name: str) -> bool:
        return self._of(bool, name, "true or false")

    def word(self, name: str, kind: type[E]) -> E:
        value = self._kept.get(name)
        if value not in list(kind):
            raise self._wrong(name, " or ".join(kind))
        return kind(value)

    def items(self, name: str, kind: type[T]) -> T:
        """Return a list or an object; an empty one where there is none."""
        if not self._kept.get(name):
            return kind()  # Lua cannot tell an empty list from an empty object
        return self._of(kind, name, f"a {kind.__name__}")

    def maybe(self, read: Callable[..., T], name: str, *more: object) -> T | None:
        return None if self._kept.get(name) is None else read(name, *more)

    def _of(self, kind: type[T], name: str, rule: str) -> T:
        value = self._kept.get(name)
        if not isinstance(value, kind):
            raise self._wrong(name, rule)
        return value

    def _wrong(self, name: str, rule: str) -> RecordDamaged:
        if name not in self._kept:
            return RecordDamaged(f"it has no field {name}")
        return RecordDamaged(f"its field {name} is {show(self._kept[name])}, and must be {rule}")


def too_new(written: str | None) -> str:
    """Say that a record cannot be read, and what to do."""
    return f"the record has format {written}, newer than this version: upgrade it"


def check_format(written: str | None) -> None:
    """Raise UnknownFormat for a record of a newer version, RecordDamaged for one of no version."""
    if written in (FORMAT, WAVED, FILLED):
        return
    if written is None or not written.isdecimal():
        raise RecordDamaged(f"its field format is {show(written)}, and must be a number")
    raise UnknownFormat(too_new(written))


def readable(kind: str, key: str, kept: Mapping[str, str], build: Callable[[str, str], T]) -> dict[str, T]:
    """Build what a hash keeps under each of its fields; what is damaged is left out and noted."""
    found = {}
    for field, text in kept.items():
        try:
            found[field] = build(field, text)
        except (RecordDamaged, ValueError) as error:
            note(Damage(kind, key, field, str(error)))
    return found


DIGESTS = ("was", "as_seen", "foreign", "restore_over")
COURSE = ("done", "passed", "released", "gate", "wave", "held")
"""What an operation with waves comes to, in the order within one millisecond."""


def moments_from(kept: Mapping[str, str]) -> tuple[Moment, ...]:
    """Read the course of an operation with waves from its hash: fields such as `at:wave:2`, by time."""
    found = []
    for name, text in kept.items():
        if name.startswith("at:"):
            _, what, number = (*name.split(":"), "", "")[:3]
            at, _, said = text.partition(" ")
            if what not in COURSE or not number.isdecimal() or not at.isdecimal():
                raise RecordDamaged(f"its field {show(name)} is {show(text)}, which is no moment")
            found.append(Moment(Millis(int(at)), what, int(number), said))
    let_go = [each for each in found if each.what == "released"]

    def place(each: Moment) -> tuple[int, int, int, bool]:
        over = each.what == "held" and any(by.at == each.at and by.number >= each.number for by in let_go)
        what = "released" if over else each.what  # a hold that was let go at once comes before its release
        return each.at, COURSE.index(what), each.number, each.what == "released"

    return tuple(sorted(found, key=place))


def _attempt(key: str, kept: object) -> tuple[int, Attempt]:
    if not isinstance(kept, dict):
        raise RecordDamaged(f"its attempt {show(key)} is {show(kept)}, and must be an object")
    fields = Fields(kept)
    return fields.number("n"), Attempt(
        id=AttemptId(key),
        undo=fields.flag("undo"),
        state=fields.word("state", AttemptState),
        opened_at=fields.at("opened"),
        send_by=fields.at("send_by"),
        quiet_at=fields.at("quiet"),
        clean=fields.flag("clean"),
        probed_at=fields.maybe(fields.at, "probed"),
        answered_at=fields.maybe(fields.at, "answered"),
        closed_at=fields.maybe(fields.at, "closed"),
        answer=fields.maybe(fields.text, "answer"),
    )


def _standing(fields: Fields, kept: Mapping[str, str]) -> RolloutState | None:
    if fields.maybe(fields.text, "stage") is None:
        return None
    hold = None
    if held := fields.maybe(fields.text, "held"):
        said = Fields.of(held)
        who, why, since = said.text("who"), said.text("why"), said.at("since")
        hold = Hold(fields.number("hold_no"), who, why, since, fields.at("hold_until"))
    return RolloutState(
        wave=fields.number("wave"),
        waves=fields.number("waves"),
        stage=fields.word("stage", Stage),
        hold=hold,
        bake_until=fields.at("bake_until") or None,
        expires_at=fields.maybe(fields.at, "expires_at"),
        round=fields.number("round"),
        bake=fields.number("bake"),
        changed=fields.number("changed"),
        moments=moments_from(kept),
    )


def step_from(host: HostName, text: str, *, undo_needed: bool, due_at: Millis | None = None) -> Step:
    """Build a step from its JSON; `undo_needed` and `due_at` are kept beside it. Raises RecordDamaged."""
    fields = Fields.of(text)
    undo = fields.maybe(fields.word, "undo", Undo)
    before = fields.maybe(fields.word, "before", Presence)
    digests = {name: fields.maybe(fields.digest, name) for name in DIGESTS}
    trace = Trace(**digests, overwrote=fields.maybe(fields.flag, "overwrote") or False)
    if trace.was:
        before = Presence.ABSENT if trace.was == ABSENT else Presence.PRESENT
    attempts = [_attempt(key, each) for key, each in fields.items("attempts", dict).items()]
    gate = fields.maybe(lambda name: Fields(fields.items(name, dict)), "gate")
    body, reason = fields.maybe(fields.text, "body"), fields.maybe(fields.text, "reason")
    why = fields.maybe(fields.word, "kind", ReasonKind)
    return Step(
        host=host,
        fingerprint=fields.text("fingerprint"),
        before=None if before is None else Seen(before, body),
        outcome=fields.maybe(fields.word, "outcome", Outcome),
        undo=undo or (Undo.NEEDED if undo_needed else Undo.NONE),
        reason=fields.maybe(fields.text, "abandoned") or (reason and told(why, reason)),
        why=why,
        misses=fields.maybe(fields.number, "misses") or 0,
        undo_misses=fields.maybe(fields.number, "undo_misses") or 0,
        due_at=due_at,
        abandoned_at=fields.maybe(fields.at, "abandoned_at"),
        wave=fields.maybe(fields.number, "wave") or 1,
        health=fields.maybe(fields.text, "health"),
        gate=None if gate is None else Gate(gate.number("round"), gate.at("at"), gate.text("said")),
        lost_fields=tuple(str(each) for each in fields.items("lost", list)),
        attempts=tuple(each for _, each in sorted(attempts, key=lambda pair: pair[0])),
        trace=None if trace == Trace() else trace,
    )


def operation_from(
    key: OperationId,
    kept: Mapping[str, str],
    *,
    todo: int,
    open_hosts: int,
    undo: Iterable[str],
    stalled: Iterable[str],
) -> Status:
    """Build an operation from its hash and the sizes of its working sets. Raises RecordDamaged."""
    fields = Fields(kept)
    decision = fields.maybe(fields.word, "decision", Decision)
    ended = fields.maybe(fields.number, "ended") == 1
    total = fields.number("total")
    rolling_back = decision is Decision.ROLL_BACK and not ended
    for name in ("failed", "progress_at", "resumed", "patience"):
        fields.number(name)  # the scripts read them
    fields.maybe(fields.number, "retries")
    reason, host = fields.maybe(fields.text, "reason"), fields.maybe(fields.text, "reason_host")
    why = fields.maybe(fields.word, "reason_kind", ReasonKind)
    action = fields.word("action", Action)
    verb = fields.maybe(lambda name: ThingRequest.of(fields.text(name)).verb, "content")
    return Status(
        id=key,
        group=GroupId(fields.text("group")),
        action=action,
        verb=verb or action.value,
        state=fields.word("state", State),
        decision=decision,
        settling=decision is not None and not ended and open_hosts > 0,
        ended=ended,
        reason=None if reason is None else told_of(host, why, reason),
        created_by=fields.text("created_by"),
        created_at=fields.at("created_at"),
        deadline_at=fields.at("deadline_at"),
        decided_at=fields.maybe(fields.at, "decided_at"),
        ended_at=fields.maybe(fields.at, "ended_at"),
        hosts_total=total,
        hosts_done=total if ended else (fields.maybe(fields.number, "opened") or total) - todo,
        pending_hosts=tuple(HostName(host) for host in sorted(undo)) if rolling_back else (),
        stalled_hosts=tuple(HostName(host) for host in sorted(stalled)) if rolling_back else (),
        rollout=_standing(fields, kept),
    )


def progress_from(host: HostName, said: list[str]) -> Progress:
    step = Forward(said[0])
    match step:
        case Forward.DONE:
            kept = step_from(host, said[2], undo_needed=False)
            return Progress(step, outcome=Outcome(said[1]), step=kept)
        case Forward.FAILED:
            why = ReasonKind(said[2]) if said[2] else None
            return Progress(step, outcome=Outcome(said[1]), reason=told(why, said[3]) or None)
        case Forward.ELSEWHERE:
            return Progress(step, fingerprint=said[1])
        case Forward.OPEN:
            return Progress(step, left=int(said[1]))
        case Forward.BUSY:
            return Progress(step, reason=said[2], left=int(said[1]))
        case Forward.MISSED:
            return Progress(step, misses=int(said[1]), left=int(said[2]))
        case Forward.SETTLE:
            return Progress(step, again_at=Millis(int(said[1])) or None)
    return Progress(step)
