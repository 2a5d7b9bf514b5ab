"""Redis' strings -> the model's dataclasses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypedDict, cast

from lockstep.worker.operation.errors import UnknownFormat
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
from lockstep.worker.operation.states import State


class AttemptJson(TypedDict, total=False):
    """An attempt as the scripts keep it."""

    n: int
    undo: bool
    state: str
    opened: int
    send_by: int
    quiet: int
    clean: bool
    probed: int
    closed: int
    answered: int
    answer: str


class StepJson(TypedDict, total=False):
    """A step as the scripts keep it."""

    fingerprint: str
    before: str
    body: str
    outcome: str
    undo: str
    reason: str
    misses: int
    undo_misses: int
    abandoned: str
    abandoned_at: int
    lost: list[str]
    attempts: dict[str, AttemptJson]


FORMAT = "1"
"""Of the records that this version writes and reads; `record.lua` has it too."""


def check_format(written: str | None) -> None:
    """Raise UnknownFormat for a record that a newer version wrote."""
    if written != FORMAT:
        raise UnknownFormat(newer_format(written))


def newer_format(written: str | None) -> str:
    """Say that a record cannot be read, and what to do."""
    return f"the record has format {written}, newer than this version: upgrade it"


def _millis(value: float | None) -> Millis | None:
    return None if value is None else Millis(int(value))


def _attempt(key: str, kept: AttemptJson) -> Attempt:
    return Attempt(
        id=AttemptId(key),
        undo=kept["undo"],
        state=AttemptState(kept["state"]),
        opened_at=Millis(int(kept["opened"])),
        send_by=Millis(int(kept["send_by"])),
        quiet_at=Millis(int(kept["quiet"])),
        clean=kept["clean"],
        probed_at=_millis(kept.get("probed")),
        answered_at=_millis(kept.get("answered")),
        closed_at=_millis(kept.get("closed")),
        answer=kept.get("answer"),
    )


def step_from(host: HostName, text: str, *, undo_needed: bool, due_at: Millis | None = None) -> Step:
    """Build a step from its JSON; `undo_needed` and `due_at` are kept beside it."""
    kept = cast(StepJson, json.loads(text))
    undo = Undo(kept["undo"]) if "undo" in kept else Undo.NEEDED if undo_needed else Undo.NONE
    attempts = sorted(kept.get("attempts", {}).items(), key=lambda item: item[1]["n"])
    before = kept.get("before")
    outcome = kept.get("outcome")
    return Step(
        host=host,
        fingerprint=kept["fingerprint"],
        before=None if before is None else Seen(Presence(before), kept.get("body")),
        outcome=None if outcome is None else Outcome(outcome),
        undo=undo,
        reason=kept.get("abandoned") or kept.get("reason"),
        misses=int(kept.get("misses", 0)),
        undo_misses=int(kept.get("undo_misses", 0)),
        due_at=due_at,
        abandoned_at=_millis(kept.get("abandoned_at")),
        lost_fields=tuple(kept.get("lost", ())),
        attempts=tuple(_attempt(key, each) for key, each in attempts),
    )


def operation_from(
    key: OperationId,
    fields: Mapping[str, str],
    *,
    todo: int,
    open_hosts: int,
    undo: Iterable[str],
    stalled: Iterable[str],
) -> Operation:
    """Build an operation from its hash and the sizes of its working sets."""
    decision = fields.get("decision")
    ended = fields.get("ended") == "1"
    total = int(fields["total"])
    rolling_back = decision == Decision.ROLL_BACK and not ended

    def at(name: str) -> Millis | None:
        return Millis(int(fields[name])) if name in fields else None

    return Operation(
        id=key,
        group=GroupId(fields["group"]),
        action=Action(fields["action"]),
        state=State(fields["state"]),
        decision=None if decision is None else Decision(decision),
        settling=decision is not None and not ended and open_hosts > 0,
        ended=ended,
        reason=fields.get("reason"),
        created_by=fields["created_by"],
        created_at=Millis(int(fields["created_at"])),
        deadline_at=Millis(int(fields["deadline_at"])),
        decided_at=at("decided_at"),
        ended_at=at("ended_at"),
        hosts_total=total,
        hosts_done=total if ended else total - todo,
        pending_hosts=tuple(HostName(host) for host in sorted(undo)) if rolling_back else (),
        stalled_hosts=tuple(HostName(host) for host in sorted(stalled)) if rolling_back else (),
    )
