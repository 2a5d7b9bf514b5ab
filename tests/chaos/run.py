"""One run: start everything, let clients work and nemeses strike, heal, wait for the ends, judge."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lockstep.worker.connection import client
from lockstep.worker.operation.model import GroupId, HostName, OperationId, State
from lockstep.worker.record.keys import Keys
from tests.chaos import evidence as kept
from tests.chaos import histories, journal
from tests.chaos.checker import Verdict, check
from tests.chaos.clients import DYING, Clients
from tests.chaos.evidence import Bodies, Ended, Evidence
from tests.chaos.lanes import Event, Schedule
from tests.chaos.nemeses import Nemeses, absent
from tests.chaos.orders import CONTENTS, GROUPS, THINGS, Told
from tests.chaos.resources import Sampler
from tests.chaos.rig import BEFORE, Rig
from tests.chaos.tiers import MOST_SETTLED, Plan
from tests.chaos.watcher import Watcher, newest_of
from tests.chaos.weather import Weather
from tests.model.trace import Trace, replay
from tests.waits import eventually
from tests.warm import warming

PLANTED = 0.4
"""The share of groups that each host holds beforehand."""
LONGEST, EACH = 1800.0, 3.0
"""Seconds, and more for each operation, after which a run that does not get there is given up."""
AT_WORK = 8
"""Operations under way from which on clients wait: with a queue longer than the deadline nothing is shown."""
LOOK = 0.2
STRANGE = ("ignore", "rewrite")
MOST_REASONS = 4
"""Why operations were rolled back, as many of the reasons are told."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    plan: Plan
    verdict: Verdict
    operations: int
    rolled_back: int
    faults: Counter[str]
    expected_faults: frozenset[str]
    ambiguous: int
    late: int
    waits: int
    """How often a write waited for its turn at the limited host."""
    paced: int
    """How often for the moment that its rate gave it."""
    strange: Counter[str]
    """How many writes of things were ignored, or shown in another form."""
    committed_things: int
    on_things: int
    in_waves: int
    """How many were accepted of each sort."""
    pending_seen: int
    transitions: int
    """Changes of records, each of which the model allows."""
    slowest: float
    """Seconds from healing to the last end; negative when all had ended before."""
    seconds: float
    details: str
    used: str = ""
    """What processes and Redis used at most."""


class Everything:
    """Has all records in it: the release before takes its decisions in a transition of their own."""

    def __contains__(self, _: object) -> bool:
        return True


class Trouble(Exception):
    """The run itself broke: what it was to show is not shown."""


def run(plan: Plan, directory: Path, say: Callable[[str], None]) -> Outcome:
    """Run a plan in a directory; what is needed to look into a failure is left there."""
    began = time.monotonic()
    with warming(), Rig(directory, plan) as rig:
        weather, told = Weather(plan.times, rig.settings.read_timeout), Told()
        planted = _plant(rig, random.Random(f"{plan.seed}/planted"))
        for node in rig.nodes.values():
            weather.usual(node)
        stopped = threading.Event()
        nemeses = Nemeses(rig, weather, told, random.Random(f"{plan.seed}/nemeses"), stopped.wait)
        lanes = nemeses.lanes()
        if missing := ", ".join(absent(rig)):
            say(f"  {plan.name}: what cannot be broken on this machine: {missing}")
        schedule = Schedule(lanes, plan.passes, plan.operations, plan.seed, lambda: len(told.accepted))
        watcher = Watcher(rig.store, newest_of(rig.settings), told)

        def may_go_on() -> bool:
            some_are_due = schedule.clients_may_go_on() or (schedule.over and not _each_death_was(told))
            return watcher.at_work < AT_WORK and some_are_due

        clients = Clients(rig.client, rig.producers, told, plan, may_go_on)
        sampler = Sampler(rig)
        for part in (schedule, clients, watcher, sampler):
            part.start()
        try:
            _until_all_is_accepted(plan, told, schedule, clients, say)
        finally:
            stopped.set()
            schedule.stop()
            clients.stop()
        for node in rig.nodes.values():
            weather.none(node)
        healed_at = time.time()
        say(f"  {plan.name}: healed after {time.monotonic() - began:.0f} s; waiting for the ends")
        settings = rig.settings
        limit = settings.send_within + settings.call_timeout + settings.settle_seconds + MOST_SETTLED
        _until_all_has_ended(rig, limit)
        watcher.stop()
        sampler.stop()
        for error in (*schedule.errors, *clients.errors):
            raise Trouble(f"{type(error).__name__}: {error}") from error
        found = Evidence(
            planted=planted,
            final=_held(rig),
            history=histories.read({HostName(name): node.history for name, node in rig.nodes.items()}),
            journal=journal.read(rig.commands(), settings.key_prefix),
            record=_record(rig),
            told=told,
            samples=watcher.samples,
            events=schedule.events,
            raised=kept.raised(worker.log for worker in rig.workers if worker.name != BEFORE),
            healed_at=healed_at,
            settle=settings.settle_seconds,
        )
        late = Everything() if plan.before else frozenset[str]()
        traced = replay(rig.commands(), settings.key_prefix, late=late)
        found.journal.wrong.extend([*traced.wrong, *sampler.wrong()])
    verdict = check(found, limit)
    kept.keep(directory, found, [*verdict.violations, *verdict.apart])
    expected = frozenset(kind for lane in lanes.values() for kind in lane)
    return replace(_outcome(plan, found, verdict, expected, traced, began), used=sampler.told())


def _plant(rig: Rig, dice: random.Random) -> Bodies:
    for node in rig.nodes.values():
        for group in GROUPS:
            if dice.random() < PLANTED:
                node.admin.plant(
                    node.name, group, {"owner": dice.choice(("ada", "bob")), "size": dice.randint(1, 9)}
                )
        for thing in THINGS:
            if dice.random() < PLANTED:
                node.admin.plant(node.name, thing, dice.choice(CONTENTS))
    return _held(rig)


def _held(rig: Rig) -> Bodies:
    return {
        (HostName(name), GroupId(group)): body
        for name, node in rig.nodes.items()
        for group, body in node.admin.groups(name).items()
    }


def _record(rig: Rig) -> dict[OperationId, Ended]:
    everything = rig.store.operations(10 * rig.plan.operations)
    return {each.id: Ended(each, rig.store.steps(each.id)) for each in everything}


def _until_all_is_accepted(
    plan: Plan, told: Told, schedule: Schedule, clients: Clients, say: Callable[[str], None]
) -> None:
    shown = 0

    def over() -> bool:
        nonlocal shown
        if len(told.accepted) >= shown + plan.operations // 5:
            shown = len(told.accepted)
            say(f"  {plan.name}: {shown} of {plan.operations} accepted, {len(schedule.events)} nemeses were")
        broken = bool(schedule.errors or clients.errors)
        enough = len(told.accepted) >= plan.operations and _each_death_was(told)
        return broken or (schedule.over and enough)

    try:
        eventually(over, "all operations are accepted", LONGEST + EACH * plan.operations, latest=LOOK)
    except AssertionError as error:
        raise Trouble(f"{error}, but {len(told.accepted)}") from error


def _each_death_was(told: Told) -> bool:
    """Tell whether producers died in each way."""
    return all(told.counts.get(kind) for kind in DYING)


def _until_all_has_ended(rig: Rig, limit: float) -> None:
    """Wait, longer than is allowed; the checker says what came too late."""
    due = Keys(rig.settings.key_prefix).due
    with client(rig.settings) as redis, suppress(AssertionError):
        eventually(lambda: not redis.zcard(due), "all have ended", 1.5 * limit, latest=LOOK)


def struck(events: Iterable[Event]) -> Counter[str]:
    """Count the nemeses that harmed something."""
    return Counter(event.kind for event in events if event.detail)


def _outcome(
    plan: Plan, found: Evidence, verdict: Verdict, expected: frozenset[str], traced: Trace, began: float
) -> Outcome:
    ends = [each.operation for each in found.record.values()]
    faults = struck(found.events)
    faults.update({kind: found.told.counts.get(kind, 0) for kind in DYING})
    last = max((each.ended_at or 0 for each in ends), default=0) / 1000
    orders = found.told.accepted.values()
    undone = [each.reason or "" for each in ends if each.state is State.ROLLED_BACK]
    whys = Counter(reason.split(": ", 1)[-1] for reason in undone).most_common(MOST_REASONS)
    return Outcome(
        plan=plan,
        verdict=verdict,
        operations=len(ends),
        rolled_back=sum(each.state is State.ROLLED_BACK for each in ends),
        faults=faults,
        expected_faults=expected | frozenset(DYING),
        ambiguous=found.history.ambiguous,
        late=found.history.late,
        waits=found.journal.waits,
        paced=found.journal.paced,
        strange=Counter(each.fault for each in found.history.calls if each.fault in STRANGE),
        committed_things=sum(each.state is State.COMMITTED and "/" in each.group for each in ends),
        on_things=sum(bool(order.verb) for order in orders),
        in_waves=sum(bool(order.pace) for order in orders),
        pending_seen=sum(bool(sample.pending) for sample in found.samples),
        transitions=traced.transitions,
        slowest=last - found.healed_at,
        seconds=time.monotonic() - began,
        details=", ".join(f"{what}: {count}" for what, count in sorted(found.told.counts.items()))
        + "; rolled back most for: "
        + ", ".join(f"{why} {count}" for why, count in whys),
    )
