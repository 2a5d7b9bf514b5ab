"""One schedule: operations, faults, the end of all faults, and the judgement."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from lockstep.worker.operation.host import ALL_HOSTS, WriteLimit
from lockstep.worker.operation.model import Action, HostName, HostRef, Millis, OperationId
from lockstep.worker.operation.transitions import Request
from lockstep.worker.operation.waves import Rollout
from tests.simulation import patrol, people, shells, things
from tests.simulation.broker import Broker
from tests.simulation.choices import Choices
from tests.simulation.faults import Row
from tests.simulation.hosts import SimHost
from tests.simulation.ledger import Ledger
from tests.simulation.limits import LIMITS
from tests.simulation.states import standing
from tests.simulation.world import Violation, World

MOMENTS = (0, 2, 5, 10, 20, 60, 400, 4_000, 20_000, 60_000)
HEALS_AT = 150_000
DAY = 86_400_000
PROMOTES = (*(3_000, 40_000) * 8, DAY)
BAKES = (0, 1_000, 30_000, 600_000)
ACTIONS = tuple(Action)
WRITE_LIMITS = (WriteLimit(1), WriteLimit(1, 10), WriteLimit(2), WriteLimit(None, 0.5))
"""Of each host, where a second try meets the first, or of all together."""
SLICES = (*[(1, 1)] * 6, (2, 2), (3, 3), (3, 2))
"""Hosts that one task carries, and how many of them it works on at the same time."""


def digest(state: object) -> int:
    """A number that is the same in every process."""
    text = repr(state).encode()
    return zlib.crc32(text) << 32 | zlib.adler32(text)


@dataclass(slots=True)
class Finding:
    """What a schedule came to; `wrong` says what did not hold."""

    trace: list[int]
    rows: set[Row]
    notes: dict[str, int]
    wrong: str | None = None
    lines: list[str] = field(default_factory=list)
    states: set[int] = field(default_factory=set)
    """Digests of the states of hosts, records and processes that were seen, if they were asked for."""


def run_schedule(choices: Choices, tracing: bool = False, counting: bool = False) -> Finding:
    """Run one schedule to its end, and judge it."""
    world = World(choices, tracing)
    wrong, states = None, set[int]()
    try:
        _run(world, states if counting else None)
    except Violation as violation:
        wrong = str(violation)
        world.log("VIOLATION:", wrong)
    return Finding(choices.trace, world.rows, world.notes, wrong, world.lines, states)


def _run(world: World, states: set[int] | None) -> None:
    choose = world.choose
    ledger = Ledger(world, LIMITS)
    broker = Broker(world, ledger, shells.run_task)
    world.draw_intensities()
    broker.hosts_per_task, broker.threads = SLICES[choose(len(SLICES))]
    filled = choose(6) == 1
    if filled:
        things.fill(broker)
    for n in range(2 + choose(2)):
        ledger.add(_host(world, ledger, HostName(f"h{n}"), filled))
    if choose(3) == 1:
        limit = WRITE_LIMITS[choose(len(WRITE_LIMITS))]
        ledger.store.limited.update(dict.fromkeys(ledger.hosts if choose(2) else [ALL_HOSTS], limit))
        world.note("schedules with a limit of writes")
    if states is not None:
        world.look = lambda: states.add(digest(standing(ledger)))
    ids = [OperationId("one")] + ([OperationId("two")] if choose(3) == 1 else [])
    for n, key in enumerate(ids):
        request = _request(world, broker, key, filled)
        world.spawn(partial(people.produce, broker, request), n * MOMENTS[choose(9)])
    for operation in ids:
        _disturb(world, broker, operation)
        _wave_on(world, broker, operation)
    if filled:
        things.disturb(broker, ids, MOMENTS)
    world.at(world.now, lambda: people.beat(world, broker))
    heals_at = int(world.now) + HEALS_AT
    if any(host.down_for for host in ledger.hosts.values()):
        heals_at += 4_000_000
    world.at(heals_at, world.heal)

    def done() -> bool:
        return all(record.ended for record in ledger.store.records.values()) and ledger.patrolled()

    world.run(done, world.now + DAY)
    ledger.judge()


def _host(world: World, ledger: Ledger, name: HostName, filled: bool) -> SimHost:
    if filled:
        return things.ThingHost(name, world, ledger)
    absent = (404, 400)[world.choose(2)]
    return SimHost(name, world, ledger, world.choose(3) == 1, absent)


def _request(world: World, broker: Broker, key: OperationId, filled: bool) -> Request:
    action, content = things.ask(world) if filled else (ACTIONS[world.choose(2)], None)
    deadline = (300_000, 8_000, 500, 15)[world.choose(4)]
    refs = tuple(HostRef(host.name, host.url) for host in broker.ledger.hosts.values())
    rollout = _rollout(world, refs)
    return Request(
        key, broker.group, action, refs, deadline, "the simulation", rollout=rollout, content=content
    )


def _rollout(world: World, refs: Sequence[HostRef]) -> Rollout | None:
    """Choose how every third operation goes in waves."""
    choose = world.choose
    if choose(3) != 1:
        return None
    second = choose(2) + 1
    waves = {ref.name: (1, second, second + 1 - choose(2))[place] for place, ref in enumerate(refs)}
    world.note("operations in waves")
    return Rollout(
        waves,
        bake=BAKES[choose(4)],
        gate=choose(2) == 1,
        hold=choose(3) == 1,
        within=(None, 900_000)[choose(2)],
    )


def _wave_on(world: World, broker: Broker, operation: OperationId) -> None:
    """Choose who holds an operation in waves, and who promotes it."""
    choose = world.choose
    for _ in range(choose(3)):
        world.at(world.now + MOMENTS[choose(len(MOMENTS))], lambda: people.hold(broker, operation))
    every, late = PROMOTES[choose(len(PROMOTES))], MOMENTS[choose(len(MOMENTS))]
    people.promote_now_and_then(broker, operation, every, late)


def _disturb(world: World, broker: Broker, operation: OperationId) -> None:
    """Choose what befalls this operation from outside, and when."""
    choose = world.choose
    hosts = list(broker.ledger.hosts.values())
    what = choose(20)
    if not what:
        return
    when = world.now + MOMENTS[choose(len(MOMENTS))] + choose(8)
    match what:
        case 1 | 2:
            world.at(when, lambda: people.cancel(broker, operation))
        case 3:
            world.at(when, lambda: people.abandon(broker, operation))
            world.at(when + 90_000, lambda: people.abandon(broker, operation))
        case 4 | 5 | 6:
            host, duration, hangs = hosts[choose(len(hosts))], (2_000, 60_000)[choose(2)], choose(2) == 1
            world.at(when, lambda: host.go_down(duration, hangs))
        case 7 | 8:
            _redis_away(world, when, frozen=what == 7)
        case 9 | 10:
            host, lacking, duration = hosts[choose(len(hosts))], choose(2) == 1, (50, 30_000)[choose(2)]
            world.at(when, lambda: _misplace(host, lacking, when + duration))
        case 11 | 12:
            world.at(when, lambda: people.kill_all(world))
        case 13:
            host = hosts[choose(len(hosts))]
            host.down_for = 3_600_000
            world.at(when, lambda: host.go_down(3_600_000, False))
            world.at(when + 1, lambda: people.cancel(broker, operation))
        case 17:
            host = hosts[choose(len(hosts))]
            world.at(when, lambda: host.go_down(60_000, True))
            world.at(when + 1, lambda: people.cancel(broker, operation))
            world.at(when + 20_000, lambda: people.abandon(broker, operation))
        case 18 | 19:
            world.crawl()
            world.at(when + (2_000, 15_000)[choose(2)], lambda: people.cancel(broker, operation))
        case 14 | 15 | 16:
            world.first_write_strays = True
            world.at(when, lambda: people.cancel(broker, operation))
            if what == 15:
                patrol.slip_in(broker, kept=choose(2) == 1)
            elif what == 16:
                patrol.cancel_a_repair(broker, MOMENTS[choose(len(MOMENTS))])


def _redis_away(world: World, when: int, frozen: bool) -> None:
    def go() -> None:
        world.log("Redis", "is frozen" if frozen else "is killed")
        world.redis_frozen = frozen
        world.redis_back_at = Millis(world.now + (30_000 if frozen else 300))

    world.at(when, go)


def _misplace(host: SimHost, lacking: bool, until: int) -> None:
    host.lacking, host.wrong_until = lacking, until
