"""What grows while a run lasts is named; what only varies is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.resources import ENOUGH, PER_OPERATION, WARM, Sampler

LONG = 2 * ENOUGH


def sampler(pool: str = "prefork", /, **grows: float) -> Sampler:
    """A worker that uses so much more with each sample."""
    rig: Any = SimpleNamespace(plan=SimpleNamespace(pool=pool), settings=SimpleNamespace(concurrency=32))
    made = Sampler(rig)
    usual = {"memory in MB": 90.0, "files": 40.0, "threads": 12.0}
    for n in range(LONG):
        values = {what: value + n % 3 + n * grows.get(what.split()[0], 0) for what, value in usual.items()}
        made._found["worker1, process 7"].append(values)
        made._redis.append((10.0 * n, 1e6 + 10 * n * grows.get("redis", 6_000)))
    return made


def test_what_varies_is_flat() -> None:
    assert list(sampler().wrong()) == []


@pytest.mark.parametrize(
    ("leak", "told"),
    [
        ({"files": 0.5}, "worker1, process 7 used"),
        ({"threads": 0.2}, "threads at first"),
        ({"memory": 1.0}, "memory in MB at first"),
        ({"redis": 2 * PER_OPERATION}, "bytes of each operation"),
    ],
)
def test_a_planted_leak_is_found(leak: dict[str, float], told: str) -> None:
    (wrong,) = sampler(**leak).wrong()
    assert told in wrong


def test_what_is_given_back_is_no_leak() -> None:
    busy = sampler()
    samples = busy._found["worker1, process 7"]
    for n in range(LONG // 2, LONG):
        samples[n] = {**samples[n], "threads": 12.0 if n % 5 == 0 else 64.0}
    assert list(busy.wrong()) == []


def test_a_pool_of_threads_fills_and_more_of_them_are_a_leak() -> None:
    assert list(sampler("threads", threads=0.35).wrong()) == []
    (wrong,) = sampler("threads", threads=0.8).wrong()
    assert "threads at first" in wrong


def test_of_a_process_that_did_not_live_long_nothing_is_said() -> None:
    short = sampler(files=5.0)
    short._found["worker1, process 7"] = short._found["worker1, process 7"][: WARM + ENOUGH - 1]
    assert list(short.wrong()) == []
