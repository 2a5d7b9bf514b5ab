"""The rules. Each takes the evidence and says what contradicts it; what is right is decided here alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lockstep.worker.operation.model import Decision, HostName, OperationId, Presence, State, Status
from lockstep.worker.steps.looks import PATROL
from tests.chaos.evidence import Ended, Evidence
from tests.chaos.histories import Effect, Place, content_of
from tests.chaos.orders import APART, AT_ONCE, LIMITED

MILLISECOND = 0.001
THAW = 10.0
"""Seconds after a frozen worker woke in which a write that it had passed by the guard may still arrive."""


@dataclass
class Verdict:
    """What was found. A run is good when `violations` is empty."""

    violations: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    """Effects of writes that were frozen between the guard and their first byte: published as not covered."""


def check(evidence: Evidence, limit: float) -> Verdict:
    """Hold the evidence to every rule; `limit` is how many seconds after healing the last end may come."""
    verdict = Verdict()
    owners = {attempt: key for key, ended in evidence.record.items() for attempt in ended.attempts}
    verdict.violations += [
        *evidence.told.wrong,
        *evidence.journal.wrong,
        *lost(evidence),
        *unended(evidence, limit),
        *decided_twice(evidence),
        *told_otherwise(evidence),
        *unknown_writes(evidence, owners),
        *early_waves(evidence, owners),
        *crowded(evidence, owners),
        *(f"a task or a worker failed: {each}" for each in evidence.raised),
    ]
    Replay(evidence, owners, verdict).run()
    return verdict


def lost(evidence: Evidence) -> Iterator[str]:
    """Redis keeps what it acknowledged."""
    for key in evidence.told.accepted.keys() - evidence.record.keys():
        yield f"operation {key} was accepted and is in no record"


def unended(evidence: Evidence, limit: float) -> Iterator[str]:
    """Every operation ends, and soon after all is healed."""
    for key, ended in evidence.record.items():
        operation = ended.operation
        if not operation.ended or operation.ended_at is None:
            yield f"operation {key} has not ended: {operation.state}, pending {operation.pending_hosts}"
        elif operation.ended_at / 1000 > evidence.healed_at + limit:
            late = operation.ended_at / 1000 - evidence.healed_at
            yield f"operation {key} ended {late:.1f} s after all was healed; {limit:g} s are allowed"


def decided_twice(evidence: Evidence) -> Iterator[str]:
    """One decision per operation, and it is the one in the record."""
    for key, ended in evidence.record.items():
        made, kept = evidence.journal.decisions.get(key, []), ended.operation.decision
        if len(made) != 1 or kept is None or made[0] != kept.value:
            yield f"operation {key} was decided {made}; its record says {kept}"


def told_otherwise(evidence: Evidence) -> Iterator[str]:
    """What a client was told stays true."""
    told = evidence.told
    for keys, decision in ((told.committed, Decision.COMMIT), (told.rolled_back, Decision.ROLL_BACK)):
        for key in keys & evidence.record.keys():
            if evidence.record[key].operation.decision is not decision:
                yield f"the client of operation {key} was told {decision}; the record says otherwise"


def unknown_writes(evidence: Evidence, owners: dict[str, OperationId]) -> Iterator[str]:
    """No write is sent without an attempt that was recorded before."""
    for call in evidence.history.calls:
        if call.method != "GET" and call.attempt not in owners:
            yield f"{call.host} was sent {call.method} of {call.group} with no attempt on record"


def early_waves(evidence: Evidence, owners: dict[str, OperationId]) -> Iterator[str]:
    """No node is written to before its wave has opened, by the node's own history."""
    waves = {key: ended for key, ended in evidence.record.items() if ended.operation.rollout}
    for call in evidence.history.calls:
        ended = waves.get(owners.get(call.attempt or "", OperationId("")))
        if ended is None or ended.operation.rollout is None or call.method == "GET":
            continue
        opened = {each.number: each.at for each in ended.operation.rollout.moments if each.what == "wave"}
        wave = next(step.wave for step in ended.steps if step.host == call.host)
        at = opened.get(wave) if wave > 1 else ended.operation.created_at
        if at is None or call.arrived < at / 1000 - MILLISECOND:
            key = ended.operation.id
            yield f"operation {key} wrote to {call.host} before its wave {wave} was open ({call.arrived:.3f})"


def crowded(evidence: Evidence, owners: dict[str, OperationId]) -> Iterator[str]:
    """The limited host never has more writes at once than it takes, nor one less that undo nothing.

    Nor more in the time of one write than that, one more, and as many as its places.

    By its own history, but for those with which it is through by A1, whatever it does with them.
    """
    landed = {(each.host, each.call): each.at for all_ in evidence.history.effects.values() for each in all_}
    changes, arrived = [], list[float]()
    for call in evidence.history.calls:
        owner = owners.get(call.attempt or "")
        if call.host == LIMITED and call.method != "GET" and owner is not None:
            attempt = evidence.record[owner].attempts[call.attempt or ""]
            through = attempt.quiet_at / 1000 + evidence.settle
            ended = min(through, max(call.ended, landed.get((call.host, call.number), 0.0)))
            if ended > call.arrived:
                arrived.append(call.arrived)
                changes += [(call.arrived, 1, attempt.undo), (ended - MILLISECOND, -1, attempt.undo)]
    at_once = {False: 0, True: 0}
    for at, change, undo in sorted(changes):
        at_once[undo] += change
        if change > 0 and (sum(at_once.values()) > AT_ONCE or at_once[False] > AT_ONCE - 1):
            yield f"{LIMITED} had {sum(at_once.values())} writes at once at {at:.3f}, {at_once[True]} to undo"
    arrived.sort()
    for first, last in zip(arrived, arrived[2 + AT_ONCE :], strict=False):
        if last < first + APART:
            yield f"{LIMITED} had {3 + AT_ONCE} writes from {first:.3f} to {last:.3f}"


def state_of(body: Mapping[str, Any] | None) -> str:
    """Return what a host holds, as its history says it."""
    fields = (body or {}).get("fields")
    return content_of(fields) if fields else Presence.PRESENT if body is not None else Presence.ABSENT


def _whole(body: Mapping[str, Any] | None) -> object:
    return state_of(body) if body and "fields" in body else body


class Replay:
    """Runs the ends of all operations over the initial states, in the order of the locks."""

    def __init__(self, evidence: Evidence, owners: dict[str, OperationId], verdict: Verdict) -> None:
        self._evidence, self._owners, self._verdict = evidence, owners, verdict
        self._expected = {place: dict(body) for place, body in evidence.planted.items()}
        self._own: defaultdict[tuple[OperationId, HostName], list[Effect]] = defaultdict(list)
        self._disturbed: defaultdict[Place, list[float]] = defaultdict(list)
        self._samples: defaultdict[OperationId, list[tuple[float, frozenset[HostName]]]] = defaultdict(list)
        for sample in evidence.samples:
            self._samples[sample.operation].append((sample.at, sample.pending))

    def run(self) -> None:
        """Attribute effects to operations, then go through these group by group."""
        for effects in self._evidence.history.effects.values():
            for effect in effects:
                owner = self._owners.get(effect.attempt or "")
                if owner is not None:
                    self._own[owner, effect.host].append(effect)
                elif effect.by_client:
                    self._wrong(f"an effect on {effect.host} at {effect.at:.3f} belongs to no attempt")
        for group, order in self._evidence.journal.locks.items():
            before: Ended | None = None
            for key in order:
                ended = self._evidence.record.get(key)
                if ended is None:
                    self._wrong(f"operation {key} took the lock of {group} and is in no record")
                    continue
                self._follow(before, ended)
                before = ended
        self._compare()

    def _follow(self, before: Ended | None, ended: Ended) -> None:
        operation = ended.operation
        last = before.operation.ended_at if before else None
        if before and (last is None or operation.created_at < last):
            self._wrong(f"operations {before.operation.id} and {operation.id} interleave")
        if operation.created_by == PATROL and not any(
            self._disturbed[step.host, operation.group] for step in ended.steps
        ):
            self._wrong(f"the patrol repaired {operation.group} ({operation.id}), where nothing had drifted")
        if operation.ended_at is None:
            return
        for step in ended.steps:
            self._step(ended, step.host, operation.ended_at / 1000)

    def _step(self, ended: Ended, host: HostName, end: float) -> None:
        operation = ended.operation
        place = (host, operation.group)
        body = self._expected.get(place)
        start = state_of(body)
        target = self._target(operation)
        own = self._own[operation.id, host]
        for effect in own:
            if effect.at > end + MILLISECOND:
                self._after_the_end(ended, effect)
        if start == target and any(each.at <= end + MILLISECOND and each.after != start for each in own):
            self._contradiction(place, end, f"operation {operation.id} changed {place}, which was as asked")
        if operation.state is State.COMMITTED:
            if target == Presence.ABSENT:
                self._expected.pop(place, None)
            elif operation.id in self._evidence.told.asked:
                self._expected[place] = {"fields": self._evidence.told.asked[operation.id].content}
            elif body is None:
                self._expected[place] = {"groupId": operation.group}
        goal = target if operation.state is State.COMMITTED else start
        held = self._evidence.history.held(place, end + MILLISECOND)
        if held != goal:
            text = f"operation {operation.id} ended {operation.state} and left {place} {held}, not {goal}"
            self._contradiction(place, end, text)
        for at, pending in self._samples[operation.id]:
            if at <= end and host not in pending and self._evidence.history.held(place, at) != start:
                text = f"operation {operation.id} did not name {host} as pending at {at:.3f}, yet it was"
                self._contradiction(place, at, text)

    def _target(self, operation: Status) -> str:
        asked = self._evidence.told.asked.get(operation.id)
        return operation.action.target if asked is None or not asked.content else content_of(asked.content)

    def _after_the_end(self, ended: Ended, effect: Effect) -> None:
        text = f"{effect.host}: effect of operation {ended.operation.id} {effect.at:.3f}, after its end"
        if self._was_frozen(ended, effect):
            self._verdict.apart.append(text)
            self._disturbed[effect.host, effect.group].append(effect.at)
        else:
            self._wrong(text)

    def _was_frozen(self, ended: Ended, effect: Effect) -> bool:
        """Tell whether a worker was frozen when the write was to leave, and it arrived once that one woke."""
        send_by = ended.attempts[effect.attempt or ""].send_by / 1000
        calls = self._evidence.history.calls
        arrived = next(
            (call.arrived for call in calls if (call.host, call.number) == (effect.host, effect.call)),
            effect.at,
        )
        return arrived > send_by and any(
            event.began <= send_by and event.ended - 1 <= arrived <= event.ended + THAW
            for event in self._evidence.events
            if event.kind == "worker frozen"
        )

    def _compare(self) -> None:
        final = self._evidence.final
        for place in sorted(self._expected.keys() | final.keys()):
            expected, found = self._expected.get(place), final.get(place)
            both = expected is not None and found is not None
            if _whole(expected) != _whole(found) and not (both and self._lost(place)):
                end = float("inf")
                self._contradiction(place, end, f"{place} holds {found} in the end, not {expected}")

    def _lost(self, place: Place) -> bool:
        """Tell whether a host refused fields of this group, and the record says so."""
        host, group = place
        return any(
            step.host == host and step.lost_fields
            for ended in self._evidence.record.values()
            if ended.operation.group == group
            for step in ended.steps
        )

    def _contradiction(self, place: Place, at: float, text: str) -> None:
        """A contradiction, unless a write that is counted apart has disturbed this place before."""
        if any(disturbed <= at for disturbed in self._disturbed[place]):
            self._verdict.apart.append(text)
        else:
            self._wrong(text)

    def _wrong(self, text: str) -> None:
        self._verdict.violations.append(text)
