"""An operation in waves, for the tests of what may happen to it."""

from __future__ import annotations

from dataclasses import replace

from lockstep.worker.operation.model import AttemptId, HostName, Millis, RolloutState
from lockstep.worker.operation.transitions import Accepted
from lockstep.worker.operation.waves import GateVerdict, Health, Rollout
from tests.contract.bench import Bench
from tests.contract.driver import A, B, C, Driver

TWO = Rollout({A: 1, B: 2})
THREE = Rollout({A: 1, B: 2, C: 3})
CAREFUL = replace(TWO, gate=True)
DEADLINE = 10_000


def accepted(bench: Bench, rollout: Rollout, deadline: int = DEADLINE) -> Driver:
    """Accept a create with waves on the hosts that have one."""
    driver = Driver(bench)
    request = replace(driver.request(tuple(rollout.waves), deadline=deadline), rollout=rollout)
    assert driver.store.accept(request) is Accepted.ACCEPTED
    return driver


def rollout(driver: Driver) -> RolloutState:
    """How far it is."""
    found = driver.kept().rollout
    assert found is not None
    return found


def gate(
    driver: Driver,
    host: HostName,
    look: str,
    health: Health = Health.WELL,
    number: int | None = None,
    sent: int = 0,
) -> GateVerdict:
    """Record a look of the gate, of the open round unless told otherwise."""
    number = rollout(driver).round if number is None else number
    sent_at = Millis(sent) or driver.bench.now()
    return driver.store.gate_seen(driver.id, host, number, sent_at, AttemptId(look), health, "GET 503")
