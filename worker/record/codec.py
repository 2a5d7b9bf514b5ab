"""The keys of the record in Redis, and what their values mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lockstep.worker.operation.errors import RecordDamaged, Why, told, told_of
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
    Operation,
    OperationId,
    Outcome,
    Presence,
    Seen,
    Stage,
    Standing,
    State,
    Step,
    Undo,
)
from lockstep.worker.operation.names import show
from lockstep.worker.operation.thing import ABSENT, Asked
from lockstep.worker.operation.transitions import Forward, Progress
from lockstep.worker.record.fields import Fields, moments_from, trace_from

K = TypeVar("K", bound=str)


class _Name:
    """A key that there is once under a prefix."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, keys: Keys, _: type[Keys]) -> str:
        return keys.prefix + self._name


class _Each(Generic[K]):
    """A key that there is for each of a kind, whose name stands for the braces."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __get__(self, keys: Keys, _: type[Keys]) -> Callable[[K], str]:
        return lambda name: keys.prefix + self._pattern.format(name)


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix; `{prefix}op:{id}` and its suffixes belong to one operation."""

    prefix: str

    due = _Name("due")
    """Sorted set: operation id by the time the sweep is to look at it."""
    operations = _Name("operations")
    """Sorted set: every recorded operation's id by the time it was accepted."""
    ended = _Name("ended")
    """Sorted set: ended operations' ids by the time they ended."""
    patrol = _Name("patrol")
    """Sorted set: group by the time the patrol is to look at it."""
    drift = _Name("drift")
    """Hash: `group host` -> the drift that the patrol found there, as JSON."""
    paused = _Name("paused")
    """Hash: host -> who paused it, when and why, as JSON; outlives retention."""
    limits = _Name("limits")
    """Hash: host, or * for all -> how many writes it takes at once, and a second; - for any number."""
    spared = _Name("spared")
    """Hash: host -> since and until when forward looks spare it, and why, as JSON; it has a TTL."""
    lost = _Name("lost")
    """Hash: operation id -> its group, and when its record was missed, as JSON; it has a TTL."""
    dropped = _Name("dropped")
    """Sorted set: operations that retention dropped -> when; the last 10,000, and it has a TTL."""
    clocks = _Name("clocks")
    """Hash: process -> by how much its wall clock is ahead, as JSON; ended ones are dropped."""
    stalled = _Name("stalled")
    """Hash: worker -> when it last stood still and why, as JSON; it has a TTL."""
    failing = _Name("failing")
    """Hash: periodic piece of work -> why it failed when it was last tried."""
    tidied = _Name("tidied")
    """String: the cursor of the patrol's look for groups that may be forgotten; it has a TTL."""
    fence = _Name("fence")
    """String: written before replicas are waited for; worth nothing by itself."""
    operation = _Each[OperationId]("op:{}")
    """Hash: the operation's own fields."""
    steps = _Each[OperationId]("op:{}:steps")
    """Hash: host -> its step as JSON."""
    undo = _Each[OperationId]("op:{}:undo")
    """Set: hosts that were touched and are not known to be restored."""
    lock = _Each[GroupId]("lock:{}")
    """String: the id of the operation that owns the group. It has no TTL."""
    ends = _Each[GroupId]("ends:{}")
    """Hash: host -> what the last ended operation left there; outlives retention."""
    suspects = _Each[GroupId]("suspects:{}")
    """Hash: `host presence` -> when a write that would bring it was given up, its fate unknown."""
    texts = _Each[OperationId]("op:{}:texts")
    """Hash: digest -> a content's text; beside them the definition and the given secrets."""
    left = _Each[GroupId]("left:{}")
    """Hash: host -> what the last ended operation on a thing left there; `=digest` -> its text."""
    events = _Each[OperationId]("events:{}")
    """Channel: a message for every transition of the operation."""
    queue = _Each[str]("celery:{}")
    """List: the messages that wait in a queue of Celery's."""
    lease = _Each[str]("lease:{}")
    """String with a TTL: who does a periodic piece of work just now."""

    def line(self, name: str, part: str) -> str:
        """Of a limited host, or * for all: its `places`, `queue` and `pace` (sorted sets), and `next`."""
        return f"{self.prefix}limit:{name}:{part}"

    def for_transition(self, operation: OperationId) -> list[str]:
        """Return the KEYS of every transition script, in the order that `record.lua` names them."""
        op = self.operation(operation)
        own = [op, *(f"{op}:{part}" for part in ("steps", "todo", "undo", "open", "waits"))]
        return [*own, self.due, self.operations, self.ended, self.patrol]


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


def _standing(fields: Fields, kept: Mapping[str, str]) -> Standing | None:
    if fields.maybe(fields.text, "stage") is None:
        return None
    hold = None
    if held := fields.maybe(fields.text, "held"):
        said = Fields.of(held)
        who, why, since = said.text("who"), said.text("why"), said.at("since")
        hold = Hold(fields.number("hold_no"), who, why, since, fields.at("hold_until"))
    return Standing(
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
    undo = fields.maybe(lambda name: fields.word(name, Undo), "undo")
    before = fields.maybe(lambda name: fields.word(name, Presence), "before")
    trace = trace_from(fields)
    if trace and trace.was:
        before = Presence.ABSENT if trace.was == ABSENT else Presence.PRESENT
    attempts = [_attempt(key, each) for key, each in fields.items("attempts", dict).items()]
    gate = fields.maybe(lambda name: Fields(fields.items(name, dict)), "gate")
    body, reason = fields.maybe(fields.text, "body"), fields.maybe(fields.text, "reason")
    why = fields.maybe(lambda name: fields.word(name, Why), "kind")
    return Step(
        host=host,
        fingerprint=fields.text("fingerprint"),
        before=None if before is None else Seen(before, body),
        outcome=fields.maybe(lambda name: fields.word(name, Outcome), "outcome"),
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
        trace=trace,
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

    reason, host = fields.maybe(fields.text, "reason"), fields.maybe(fields.text, "reason_host")
    why = fields.maybe(lambda name: fields.word(name, Why), "reason_kind")
    action = fields.word("action", Action)
    verb = fields.maybe(lambda name: Asked.of(fields.text(name)).verb, "content")
    return Operation(
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
            why = Why(said[2]) if said[2] else None
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
