"""Redis' strings -> the model's dataclasses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lockstep.worker.operation.errors import RecordDamaged, UnknownFormat
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    AttemptState,
    Decision,
    GroupId,
    HostName,
    Millis,
    Operation,
    OperationId,
    Outcome,
    Presence,
    Seen,
    Step,
    Undo,
)
from lockstep.worker.operation.names import show
from lockstep.worker.operation.states import State
from lockstep.worker.store.damage import Fields

FORMAT = "1"
"""Of the records that this version writes and reads; `record.lua` has it too."""


def check_format(written: str | None) -> None:
    """Raise UnknownFormat for a record of a newer version, RecordDamaged for one of no version."""
    if written == FORMAT:
        return
    if written is None or not written.isdecimal():
        raise RecordDamaged(f"its field format is {show(written)}, and must be a number")
    raise UnknownFormat(newer_format(written))


def newer_format(written: str | None) -> str:
    """Say that a record cannot be read, and what to do."""
    return f"the record has format {written}, newer than this version: upgrade it"


def _attempt(key: str, kept: object) -> tuple[int, Attempt]:
    if not isinstance(kept, dict):
        raise RecordDamaged(f"its attempt {show(key)} is {show(kept)}, and must be an object")
    fields = Fields(kept)

    def at(name: str) -> Millis:
        return Millis(fields.number(name))

    return fields.number("n"), Attempt(
        id=AttemptId(key),
        undo=fields.flag("undo"),
        state=fields.word("state", AttemptState),
        opened_at=at("opened"),
        send_by=at("send_by"),
        quiet_at=at("quiet"),
        clean=fields.flag("clean"),
        probed_at=fields.maybe(at, "probed"),
        answered_at=fields.maybe(at, "answered"),
        closed_at=fields.maybe(at, "closed"),
        answer=fields.maybe(fields.text, "answer"),
    )


def step_from(host: HostName, text: str, *, undo_needed: bool, due_at: Millis | None = None) -> Step:
    """Build a step from its JSON; `undo_needed` and `due_at` are kept beside it. Raises RecordDamaged."""
    fields = Fields.of(text)
    undo = fields.maybe(lambda name: fields.word(name, Undo), "undo")
    before = fields.maybe(lambda name: fields.word(name, Presence), "before")
    attempts = [_attempt(key, each) for key, each in fields.items("attempts", dict).items()]
    body, reason = fields.maybe(fields.text, "body"), fields.maybe(fields.text, "reason")
    return Step(
        host=host,
        fingerprint=fields.text("fingerprint"),
        before=None if before is None else Seen(before, body),
        outcome=fields.maybe(lambda name: fields.word(name, Outcome), "outcome"),
        undo=undo or (Undo.NEEDED if undo_needed else Undo.NONE),
        reason=fields.maybe(fields.text, "abandoned") or reason,
        misses=fields.maybe(fields.number, "misses") or 0,
        undo_misses=fields.maybe(fields.number, "undo_misses") or 0,
        due_at=due_at,
        abandoned_at=fields.maybe(lambda name: Millis(fields.number(name)), "abandoned_at"),
        lost_fields=tuple(str(each) for each in fields.items("lost", list)),
        attempts=tuple(each for _, each in sorted(attempts, key=lambda pair: pair[0])),
    )


def operation_from(
    key: OperationId,
    kept: Mapping[str, str],
    *,
    todo: int,
    open_hosts: int,
    undo: Iterable[str],
    stalled: Iterable[str],
) -> Operation:
    """Build an operation from its hash and the sizes of its working sets. Raises RecordDamaged."""
    fields = Fields(kept)
    decision = fields.maybe(lambda name: fields.word(name, Decision), "decision")
    ended = fields.maybe(fields.number, "ended") == 1
    total = fields.number("total")
    rolling_back = decision is Decision.ROLL_BACK and not ended
    for name in ("failed", "progress_at", "resumed", "patience"):
        fields.number(name)  # the scripts read them
    fields.maybe(fields.number, "retries")

    def at(name: str) -> Millis:
        return Millis(fields.number(name))

    return Operation(
        id=key,
        group=GroupId(fields.text("group")),
        action=fields.word("action", Action),
        state=fields.word("state", State),
        decision=decision,
        settling=decision is not None and not ended and open_hosts > 0,
        ended=ended,
        reason=fields.maybe(fields.text, "reason"),
        created_by=fields.text("created_by"),
        created_at=at("created_at"),
        deadline_at=at("deadline_at"),
        decided_at=fields.maybe(at, "decided_at"),
        ended_at=fields.maybe(at, "ended_at"),
        hosts_total=total,
        hosts_done=total if ended else total - todo,
        pending_hosts=tuple(HostName(host) for host in sorted(undo)) if rolling_back else (),
        stalled_hosts=tuple(HostName(host) for host in sorted(stalled)) if rolling_back else (),
    )
