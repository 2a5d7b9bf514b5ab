"""The scripts and their twin, asked for waves in whatever order: they go the same way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.transitions import Claim
from lockstep.worker.operation.waves import Health, Rollout
from tests.contract.bench import MemoryBench, RedisBench
from tests.contract.driver import PRESENT, A, B, C, Driver
from tests.contract.waves import accepted, gate
from tests.wrong_clock import library

Act = Callable[[Driver, random.Random, str], object]
ACTS: tuple[Act, ...] = (
    lambda driver, chance, name: driver.begin(host_of(driver, chance), name),
    lambda driver, chance, name: driver.begin(host_of(driver, chance), name, PRESENT),
    lambda driver, chance, name: finish_one(driver, chance, Effect.APPLIED),
    lambda driver, chance, name: finish_one(driver, chance, Effect.APPLIED),
    lambda driver, chance, name: finish_one(driver, chance, Effect.NOT_APPLIED),
    lambda driver, chance, name: driver.missed(host_of(driver, chance), name),
    lambda driver, chance, name: driver.store.hold(driver.id, "ann", name) if chance.random() < 0.3 else None,
    lambda driver, chance, name: driver.store.promote(
        driver.id, seen_hold(driver) or chance.randint(1, 4), chance.choice(("", "bob"))
    ),
    lambda driver, chance, name: driver.store.claim(driver.id, resume=chance.random() < 0.5),
    lambda driver, chance, name: gate(driver, host_of(driver, chance), name, number=chance.randint(1, 3)),
    lambda driver, chance, name: gate(driver, host_of(driver, chance), name),
    lambda driver, chance, name: (
        gate(driver, host_of(driver, chance), name, Health.UNWELL) if chance.random() < 0.5 else None
    ),
    lambda driver, chance, name: (
        driver.roll_back() if chance.random() < 0.02 and not driver.kept().decision else None
    ),
)

PASSING: tuple[Act, ...] = (
    lambda driver, chance, name: driver.bench.pass_time(chance.choice((1, 999, 1_000, 5_000))),
    lambda driver, chance, name: driver.bench.pass_time(chance.choice((5_000, 60_000, 120_000))),
    lambda driver, chance, name: driver.store.postpone(
        driver.id, host_of(driver, chance), chance.choice((1_000, 5_000)), name
    ),
)


def host_of(driver: Driver, chance: random.Random) -> HostName:
    return chance.choice([A, B, C])


def seen_hold(driver: Driver) -> int | None:
    standing = driver.kept().rollout
    return standing.hold.number if standing and standing.hold else None


def finish_one(driver: Driver, chance: random.Random, verdict: Effect) -> object:
    step = driver.step(host_of(driver, chance))
    return step.open_attempts and driver.finish(step.host, step.open_attempts[0].id, verdict)


@pytest.mark.parametrize("seed", range(20))
def test_the_script_and_its_twin_go_the_same_way(still_redis: RedisBench, seed: int) -> None:
    """Whatever is asked in whatever order, and whenever: both answer the same, and come to the same."""
    twin = MemoryBench()
    twin.time = still_redis.now()
    acts = ACTS if library() is None else ACTS + PASSING
    chance = random.Random(seed)
    asked = replace(
        Rollout({A: 1, B: chance.randint(1, 2), C: chance.randint(2, 3)}),
        gate=chance.random() < 0.5,
        hold=chance.random() < 0.3,
        bake=chance.choice((0, 5_000)),
    )
    numbers = {wave: n for n, wave in enumerate(sorted(set(asked.waves.values())), start=1)}
    asked = replace(asked, waves={host: numbers[wave] for host, wave in asked.waves.items()})
    both = [accepted(each, asked, deadline=600_000) for each in (still_redis, twin)]
    for turn in range(120):
        act = chance.choice(acts)
        state = chance.getstate()
        said = []
        for driver in both:
            chance.setstate(state)
            said.append((act(driver, chance, f"n{turn}"), told(driver)))
        assert said[0][1] == said[1][1], f"after turn {turn}"
        if not isinstance(said[0][0], Driver | Claim | None):
            assert said[0][0] == said[1][0], f"turn {turn}"
        if isinstance(said[0][0], Claim):
            assert isinstance(said[1][0], Claim)
            assert set(said[0][0].hosts) == set(said[1][0].hosts)
            assert said[0][0].number == said[1][0].number


def told(driver: Driver) -> object:
    """What both must say, whatever the time."""
    kept = driver.kept()
    standing = kept.rollout
    assert standing is not None
    hold = standing.hold and (standing.hold.number, standing.hold.who, standing.hold.why)
    steps = [
        (each.host, each.before, each.outcome, each.undo, len(each.open_attempts))
        for each in driver.store.steps(driver.id)
    ]
    return (
        (kept.state, kept.decision, kept.ended, kept.reason, kept.hosts_done),
        (library() is None and kept.decision) or driver.due(),
        None if kept.ended else (standing.wave, standing.stage, hold, standing.round, standing.changed),
        sorted((each.what, each.number, each.said) for each in standing.moments),
        steps,
    )
