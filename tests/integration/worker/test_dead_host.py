"""A dead host is spared by real workers, which tell each other."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.worker.connection import client
from lockstep.worker.operation.model import Action, GroupId, HostName, State
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.reports import Silences
from tests.integration.worker.harness import Bench, End, parts
from tests.waits import eventually

NODE3 = HostName("node3")
SPARED = "node3: GET not sent: spared for "
FOR_LONG = "; no usable answer for too long"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    overrides = {"breaker_failures": "3", "breaker_seconds": "4", "patience": "3"}
    with parts(tmp_path) as found:
        made = Bench(*found, tmp_path / "bench", overrides)
        try:
            yield made
        finally:
            made.close()


def created(bench: Bench) -> End:
    """Create a group of its own, up to its end."""
    return bench.end(bench.start(Action.CREATE, GroupId(secrets.token_hex(4))))


def test_a_dead_host_is_spared_by_all_workers_until_it_answers(bench: Bench) -> None:
    silences = Silences(client(bench.settings), Keys(bench.settings.key_prefix))
    bench.beat()
    first = bench.worker("first")
    bench.admin.down(NODE3)

    reason = created(bench).operation.reason or ""
    assert reason.startswith(SPARED)
    assert reason.endswith(f"3 looks in a row failed (not sent: connection refused){FOR_LONG}")
    assert "host node3 is spared for 4 s: 3 looks in a row failed" in first.output()

    def known_to_all() -> bool:
        assert (created(bench).operation.reason or "").startswith(SPARED)
        return list(silences.all()) == [NODE3]

    eventually(known_to_all, "the spell is seen while it lasts: a look after it begins another")
    bench.admin.up(NODE3)
    end = eventually(lambda: _committed(created(bench)), "it is asked again")
    assert end.outcomes == {"node1": "applied", "node2": "applied", "node3": "applied"}
    assert silences.all() == {}
    assert "host node3 answers again" in first.output()


def test_what_one_worker_found_another_learns_by_its_first_failure(bench: Bench) -> None:
    silences = Silences(client(bench.settings), Keys(bench.settings.key_prefix))
    silences.spare(NODE3, 60_000, 7, "connection refused")
    bench.admin.down(NODE3)
    bench.beat()
    worker = bench.worker()

    reason = created(bench).operation.reason or ""

    assert reason.startswith(SPARED)
    assert reason.endswith(f"7 looks in a row failed (connection refused){FOR_LONG}")
    assert "is spared" not in worker.output(), "it did not find out by itself"


def _committed(end: End) -> End | None:
    return end if end.operation.state is State.COMMITTED else None
