"""Writes that land against all assumptions, hosts that people change, hosts that never return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lockstep.mock_api.admin import Fault
from lockstep.worker.operation.drift import Drift
from lockstep.worker.operation.model import Action, HostName, Presence, State, Status, Undo
from tests.integration.worker.conftest import Parts
from tests.integration.worker.harness import Bench, End
from tests.waits import PATIENCE, eventually

LATE = 20.0
"""Seconds: far beyond the second in which writes are settled here, and beyond the operation's end."""
NODE2 = HostName("node2")


@pytest.fixture(scope="module")
def patrolled(shared: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from running_with(shared, tmp_path_factory, {"patrol_every": "0.5"})


@pytest.fixture(scope="module")
def hesitant(shared: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Here the time in which drift is repaired is over as soon as it begins."""
    yield from running_with(shared, tmp_path_factory, {"patrol_every": "0.5", "repair_minutes": "0.0001"})


def running_with(
    shared: Parts, directories: pytest.TempPathFactory, overrides: dict[str, str]
) -> Iterator[Bench]:
    made = Bench(*shared, directories.mktemp("patrolled"), overrides)
    try:
        made.run_all()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def mended(request: pytest.FixtureRequest) -> Iterator[None]:
    """Mend every node after each test, and take another group for the next."""
    yield
    for name in ("patrolled", "hesitant"):
        if name in request.fixturenames:
            bench: Bench = request.getfixturevalue(name)
            bench.clear()


def rolled_back(bench: Bench, *first: Fault) -> End:
    """Create the group; node2 tells nothing of its writes, the `first` apart, until node3 refuses."""
    silent: Fault = {"kind": "error_before"}
    rules: list[Fault] = [
        {**rule, "node": "node2", "group": bench.group, "methods": ["POST"]} for rule in (*first, silent)
    ]
    bench.admin.set_faults({"kind": "refuse", "node": "node3", "group": bench.group}, *rules)
    bench.admin.set_latency(700, node="node3")
    end = bench.end(bench.start(Action.CREATE), PATIENCE)
    assert end.operation.state is State.ROLLED_BACK
    assert end.steps["node2"].touched
    assert bench.holding() == set()
    return end


def by_patrol(bench: Bench) -> list[Status]:
    """The repairs of the group."""
    found = bench.store.operations(1_000)
    return [each for each in found if each.group == bench.group and each.created_by == "patrol"]


def drift(bench: Bench) -> list[Drift]:
    """The reported drift of the group."""
    return [each for each in bench.store.drifts() if each.group == bench.group]


def assert_only_reported(bench: Bench, found: Presence) -> None:
    """The drift on node2 is named, looked at again, and nothing is written."""
    effects = {host: bench.effects(host) for host in bench.hosts}
    [named] = eventually(lambda: drift(bench), "the drift is named", PATIENCE)
    assert (named.host, named.found, named.explained) == (NODE2, found, False)
    looks = len(bench.history("node2"))
    eventually(lambda: len(bench.history("node2")) >= looks + 3, "it is looked at again", PATIENCE)
    assert by_patrol(bench) == []
    assert {host: bench.effects(host) for host in bench.hosts} == effects
    assert all(entry.method == "GET" for entry in bench.history("node2")[looks:])


def test_a_write_that_lands_after_the_end_is_found_and_repaired(patrolled: Bench) -> None:
    end = rolled_back(patrolled, {"kind": "delayed", "seconds": LATE, "times": 1})
    assert patrolled.effects("node2") == [], "the write has not landed at the operation's end"
    assert end.steps["node2"].undo is Undo.RESTORED
    eventually(lambda: patrolled.effects("node2") == ["POST", "DELETE"], "it lands and is undone", PATIENCE)
    [repair] = eventually(lambda: by_patrol(patrolled), "the repair is on record")
    mended = patrolled.end(repair.id, PATIENCE)
    assert (mended.operation.action, mended.operation.state) == (Action.DELETE, State.COMMITTED)
    assert mended.outcomes == {"node2": "applied"}
    assert patrolled.holding() == set()
    assert patrolled.effects("node3") == []
    assert patrolled.store.ends(patrolled.group)[NODE2].operation == repair.id
    eventually(lambda: not drift(patrolled), "nothing is reported any more", PATIENCE)
    assert by_patrol(patrolled) == [mended.operation], "one repair was enough"


def test_what_no_write_would_have_brought_is_only_reported(patrolled: Bench) -> None:
    patrolled.admin.set_faults({"kind": "error_after", "node": "node2", "methods": ["POST"], "times": 1})
    end = patrolled.end(patrolled.start(Action.CREATE), PATIENCE)
    assert end.operation.state is State.COMMITTED
    patrolled.admin.remove("node2", patrolled.group)
    assert_only_reported(patrolled, Presence.ABSENT)
    [named] = drift(patrolled)
    assert (named.end.presence, named.end.operation) == (Presence.PRESENT, end.operation.id)
    patrolled.admin.plant("node2", patrolled.group)
    eventually(lambda: not drift(patrolled), "what people have mended is reported no more", PATIENCE)


def test_what_comes_after_the_time_for_repairs_is_only_reported(hesitant: Bench) -> None:
    rolled_back(hesitant)
    hesitant.admin.plant("node2", hesitant.group)
    assert_only_reported(hesitant, Presence.PRESENT)
    assert hesitant.holding() == {"node2"}


def test_a_host_that_never_returns_is_abandoned_and_the_others_are_restored(patrolled: Bench) -> None:
    group = patrolled.group
    patrolled.admin.set_faults({"kind": "refuse", "node": "node3", "group": group})
    patrolled.admin.set_latency(700, node="node3")
    operation = patrolled.start(Action.CREATE)
    eventually(lambda: group in patrolled.admin.groups("node2"), "node2 has the group")
    patrolled.admin.down("node2")
    eventually(lambda: patrolled.read(operation).pending_hosts == (NODE2,), "node2 is pending", PATIENCE)
    eventually(lambda: patrolled.holding() == {"node2"}, "the others are restored", PATIENCE)
    assert patrolled.store.abandon(operation, NODE2, "scrapped (ann)") is None
    end = patrolled.end(operation, PATIENCE)
    assert end.operation.state is State.ABANDONED
    step = end.steps["node2"]
    assert (step.undo, step.reason) == (Undo.ABANDONED, "scrapped (ann)")
    assert step.abandoned_at is not None
    assert end.steps["node1"].undo is Undo.RESTORED
    assert patrolled.effects("node1") == ["POST", "DELETE"]
    assert patrolled.effects("node2") == ["POST"]
    assert patrolled.store.lock_owner(group) is None
    assert patrolled.store.operation(operation) == end.operation
