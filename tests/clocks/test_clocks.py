"""One process alone has a wrong wall clock, or one that jumps: operations end as promised, and as soon."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from lockstep.worker.connection import SKEW
from tests.clocks.conftest import PROCESSES, WORKERS, Cluster
from tests.waits import eventually

pytestmark = pytest.mark.timeout(600)  # three operations each, and a process or two that is started anew
HOUR = 3600.0
JUMP = 600.0
SLOWER, MORE = 1.5, 5.0
"""An operation takes at most so many times as long as usual, and so many seconds more."""


def late(cluster: Cluster, took: dict[str, float]) -> dict[str, float]:
    return {kind: seconds for kind, seconds in took.items() if seconds > SLOWER * cluster.usual[kind] + MORE}


def named(cluster: Cluster, process: str, apart: float) -> None:
    """Doctor names the machine, and nobody else; so does the metric, which knows nothing of a command's."""
    words = "ahead" if apart > 0 else "behind"
    name = "this machine" if process == "producer" else process
    eventually(
        lambda: re.search(rf"not Redis' time: {name}(@\S+)? (1 h|59 min 59 s) {words};", cluster.doctor()),
        "doctor tells",
    )
    if process != "producer":
        near: Any = pytest.approx(apart, abs=SKEW / 1000)
        eventually(lambda: told_by_metrics(cluster) == [(process, near)], "the metric tells how far")


def told_by_metrics(cluster: Cluster) -> list[tuple[str, float]]:
    """The processes whose clocks the alert would name, and how far these are ahead of Redis'."""
    lines = re.findall(
        r'^lockstep_clock_ahead_seconds{process="(\w+)@.*"} (.*)$', cluster.metrics(), re.MULTILINE
    )
    return [(name, float(ahead)) for name, ahead in lines if abs(float(ahead)) > SKEW / 1000]


def judge(cluster: Cluster, took: dict[str, float], process: str) -> None:
    if late(cluster, took):
        cluster.measure()  # what is usual on this machine by now: others may keep it busy
    assert not late(cluster, took), f"usual: {cluster.usual}"
    if process == "flower":
        eventually(
            lambda: cluster.shown_online() == set(WORKERS), "Flower shows all workers as online", latest=0.5
        )


@pytest.mark.parametrize("apart", [HOUR, -HOUR], ids=["1h-ahead", "1h-behind"])
@pytest.mark.parametrize("process", PROCESSES)
def test_a_clock_that_is_wrong_by_an_hour(cluster: Cluster, process: str, apart: float) -> None:
    clock = cluster.clocks[process]
    clock.set(apart)
    try:
        cluster.restart(process)
        judge(cluster, cluster.run(by_command=process == "producer"), process)
        named(cluster, process, apart)
    finally:
        clock.set(0)


@pytest.mark.parametrize("jump", [JUMP, -JUMP], ids=["10min-on", "10min-back"])
@pytest.mark.parametrize("process", PROCESSES)
def test_a_clock_that_jumps_in_the_middle_of_an_operation(
    cluster: Cluster, process: str, jump: float
) -> None:
    clock = cluster.clocks[process]
    if process == "flower":
        cluster.restart(process)
    jumps = itertools.count(1)
    try:
        took = cluster.run(process == "producer", midway=lambda: clock.set(jump * next(jumps)))
        judge(cluster, took, process)
    finally:
        clock.set(0)


@pytest.mark.parametrize(
    ("apart", "jump"),
    [(HOUR, 0.0), (-HOUR, 0.0), (0.0, JUMP), (0.0, -JUMP)],
    ids=["1h-ahead", "1h-behind", "10min-on", "10min-back"],
)
def test_a_command_that_waits_ends_with_its_operation_whatever_its_clock_says(
    cluster: Cluster, apart: float, jump: float
) -> None:
    clock = cluster.clocks["producer"]
    usual = cluster.wait_by_command()
    try:
        clock.set(apart)
        took = cluster.wait_by_command(midway=lambda: clock.set(apart + jump))
    finally:
        clock.set(0)
    if took > SLOWER * usual + MORE:
        usual = max(usual, cluster.wait_by_command())  # others may keep this machine busy by now
    assert took <= SLOWER * usual + MORE
