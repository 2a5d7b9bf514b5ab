"""Patrol: compare the hosts of a group with what the last ended operations left there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from worker.operation.drift import Drift, End, Remedy, next_patrol, remedy_for
from worker.operation.model import Action, GroupId, HostName, HostRef, Millis, OperationId, Presence
from worker.operation.ports import HostApi
from worker.steps.parts import Parts
from worker.store.base import Accepted, Ends, Request, Store

PATROL = "patrol"
"""Who asked for a repair, as the record has it."""


class PatrolStore(Store, Ends, Protocol):
    """A store with operations and ends."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The patrol's times, in milliseconds."""

    every: int
    longest: int
    """Between two looks at one group."""
    watched: int
    """After the last write of unknown fate a group is patrolled for so long."""
    repair: int
    """Drift that such a write of so short ago explains is repaired."""
    budget: int
    """One look at a group goes on to the next host no longer than this."""
    deadline: int
    """Of a repair."""


@dataclass(frozen=True, slots=True)
class Repair:
    """An operation that brings drifted hosts back; it is recorded, and to be published."""

    operation: OperationId
    group: GroupId
    action: Action
    hosts: tuple[HostName, ...]


@dataclass(frozen=True, slots=True)
class Patrolled:
    """What a look at a group came to."""

    drifts: tuple[Drift, ...] = ()
    new: tuple[Drift, ...] = ()
    """Those that were not known before."""
    repairs: tuple[Repair, ...] = ()


def patrol(parts: Parts, store: PatrolStore, group: GroupId, beat: Beat) -> Patrolled:
    """Look at every host that an ended operation covered; repair explained drift, report the rest."""
    now = store.now()
    ends = store.ends(group)
    suspicions = store.suspicions(group, ends)
    newest = max(suspicions.values(), default=None)
    if newest is None or now - newest > beat.watched:
        store.patrol_again(group, None)
        return Patrolled()
    store.patrol_again(group, next_patrol(newest, now, beat.every, beat.longest))
    if store.lock_owner(group) is not None:
        return Patrolled()  # an operation is at work; its end will be the measure
    found = _look(parts, group, ends, suspicions, now, beat)
    new = store.keep_drift(group, found)
    drifts = tuple(drift for drift in found.values() if drift is not None)
    apis = {drift.host: parts.host(drift.host) for drift in drifts}
    repairs = (_repair(parts, store, group, action, drifts, apis, beat) for action in Action)
    return Patrolled(drifts, tuple(new), tuple(repair for repair in repairs if repair is not None))


def _look(
    parts: Parts,
    group: GroupId,
    ends: dict[HostName, End],
    suspicions: dict[tuple[HostName, Presence], Millis],
    now: Millis,
    beat: Beat,
) -> dict[HostName, Drift | None]:
    started = parts.clock.elapsed()
    found: dict[HostName, Drift | None] = {}
    # Suspected hosts first: with many hosts the time may not do for all.
    suspected = {host for host, _ in suspicions}
    for host in sorted(ends, key=lambda name: name not in suspected):
        if (parts.clock.elapsed() - started) * 1000 > beat.budget:
            break
        api = parts.host(host)
        seen = api.probe(group).seen if api is not None else None
        if seen is None:
            continue
        end = ends[host]
        if seen.presence is end.presence:
            found[host] = None
            continue
        remedy = remedy_for(suspicions.get((host, seen.presence)), now, beat.repair)
        found[host] = Drift(group, host, end, seen.presence, now, remedy is Remedy.REPAIR)
    return found


def _repair(
    parts: Parts,
    store: PatrolStore,
    group: GroupId,
    action: Action,
    drifts: tuple[Drift, ...],
    apis: dict[HostName, HostApi | None],
    beat: Beat,
) -> Repair | None:
    """Record the operation that mends what is explained; nothing if another operation came in between."""
    mended = [drift for drift in drifts if drift.explained and drift.remedy is action]
    hosts = tuple(
        HostRef(drift.host, api.fingerprint) for drift in mended if (api := apis[drift.host]) is not None
    )
    if not hosts:
        return None
    operation = OperationId(parts.clock.new_id())
    ends = {drift.host: drift.end.text for drift in mended}
    request = Request(operation, group, action, hosts, beat.deadline, PATROL, ends)
    if store.accept(request) is not Accepted.ACCEPTED:
        return None
    return Repair(operation, group, action, tuple(host.name for host in hosts))
