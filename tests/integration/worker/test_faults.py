"""Every fault of the nodes, through a real worker; judged by the nodes' own histories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.conftest import Parts
from tests.integration.worker.harness import Bench, End, eventually
from worker.operation.model import Action, AttemptState, GroupId, Outcome, Presence
from worker.operation.states import State

WRITE = ["POST", "DELETE"]
AMBIGUOUS: dict[str, dict[str, Any]] = {
    "error before effect": {"kind": "error_before"},
    "error after effect": {"kind": "error_after"},
    "hang before effect": {"kind": "hang_before"},
    "hang after effect": {"kind": "hang_after"},
    "reset before effect": {"kind": "reset_before"},
    "reset after effect": {"kind": "reset_after"},
    "html page": {"kind": "malformed"},
    "another id in the body": {"kind": "wrong_id"},
    "lands 1 s later": {"kind": "delayed", "seconds": 1.0},
}


@dataclass(frozen=True)
class Ran:
    """One operation's end, who held the group then, and what its nodes did for it."""

    end: End
    holding: set[str]
    effects: dict[str, list[str]]


def run_at_once(bench: Bench, action: Action, groups: dict[str, GroupId]) -> dict[str, Ran]:
    """Run the action on all groups at once: most of it is waiting until attempts are settled."""
    started = {name: bench.start(action, group) for name, group in groups.items()}
    ends = {name: bench.end(operation) for name, operation in started.items()}
    return {
        name: Ran(
            ends[name], bench.holding(group), {host: bench.effects(host, group) for host in bench.hosts}
        )
        for name, group in groups.items()
    }


def groups_for(bench: Bench, suffix: str) -> dict[str, GroupId]:
    return {name: GroupId(f"{bench.group}-{suffix}-{n}") for n, name in enumerate(AMBIGUOUS)}


@pytest.fixture(scope="module")
def created_and_deleted(served: Bench) -> Iterator[dict[str, tuple[Ran, Ran]]]:
    """For each fault, a create and then a delete during which it strikes once on node2."""
    groups = groups_for(served, "commit")
    faults = [
        {**AMBIGUOUS[name], "node": "node2", "group": group, "methods": WRITE, "times": 1}
        for name, group in groups.items()
    ]
    served.admin.set_faults(*faults)
    created = run_at_once(served, Action.CREATE, groups)
    served.admin.set_faults(*faults)
    deleted = run_at_once(served, Action.DELETE, groups)
    yield {name: (created[name], deleted[name]) for name in groups}
    served.clear()


@pytest.fixture(scope="module")
def refused(served: Bench) -> Iterator[dict[str, Ran]]:
    """For each fault, a create during which it strikes once on node2, while node3 refuses."""
    groups = groups_for(served, "refused")
    served.admin.set_faults(
        *(
            {**AMBIGUOUS[name], "node": "node2", "group": group, "methods": ["POST"], "times": 1}
            for name, group in groups.items()
        ),
        {"kind": "refuse", "node": "node3", "group": f"{served.group}-refused-*"},
    )
    yield run_at_once(served, Action.CREATE, groups)
    served.clear()


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_create_and_delete_commit(
    created_and_deleted: dict[str, tuple[Ran, Ran]], name: str
) -> None:
    created, deleted = created_and_deleted[name]
    assert created.end.operation.state is State.COMMITTED
    assert created.holding == set(created.effects)
    assert all(effects == ["POST"] for effects in created.effects.values())
    assert deleted.end.operation.state is State.COMMITTED
    assert deleted.holding == set()
    assert all(effects == ["POST", "DELETE"] for effects in deleted.effects.values())


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_write_is_undone_when_another_host_refuses(refused: dict[str, Ran], name: str) -> None:
    ran = refused[name]
    assert ran.end.operation.state is State.ROLLED_BACK
    assert ran.end.operation.reason == "node3: refused (403)"
    assert ran.holding == set()
    assert ran.effects["node2"] in (["POST", "DELETE"], [])
    assert ran.effects["node3"] == []


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_to_wait_is_waited_for(running: Bench, status: int) -> None:
    running.admin.set_faults(
        {
            "kind": "throttle",
            "status": status,
            "retry_after": 2,
            "node": "node1",
            "methods": ["POST"],
            "group": running.group,
            "times": 1,
        }
    )
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.COMMITTED
    posts = [entry.arrived for entry in running.history("node1") if entry.method == "POST"]
    assert len(posts) == 2
    assert posts[1] - posts[0] >= 2


@pytest.mark.parametrize("delete_absent", [400, 404])
def test_hosts_that_are_as_asked_already_are_left_alone(running: Bench, delete_absent: int) -> None:
    for host in running.hosts:
        running.admin.set_manners(host, delete_absent=delete_absent)
    running.admin.plant("node2", running.group, {"owner": "ada"})
    end = running.end(running.start(Action.CREATE))
    assert end.outcomes == {"node1": "applied", "node2": "unchanged", "node3": "applied"}
    assert running.admin.groups("node2")[running.group]["owner"] == "ada"

    running.admin.remove("node3", running.group)
    end = running.end(running.start(Action.DELETE))
    assert end.outcomes == {"node1": "applied", "node2": "applied", "node3": "unchanged"}
    assert running.holding() == set()


def test_a_group_that_was_there_survives_the_rollback_of_a_create(running: Bench) -> None:
    running.admin.plant("node2", running.group, {"owner": "ada"})
    running.admin.set_faults({"kind": "refuse", "node": "node3", "group": running.group})
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert running.holding() == {"node2"}
    assert running.effects("node2") == []
    assert running.admin.groups("node2")[running.group]["owner"] == "ada"


def test_a_group_that_was_absent_is_not_created_by_the_rollback_of_a_delete(running: Bench) -> None:
    running.admin.plant("node1", running.group, {"owner": "ada"})
    running.admin.plant("node3", running.group)
    running.admin.set_faults({"kind": "refuse", "node": "node3", "group": running.group})
    end = running.end(running.start(Action.DELETE))
    assert end.operation.state is State.ROLLED_BACK
    assert running.holding() == {"node1", "node3"}
    assert running.effects("node2") == []
    assert running.admin.groups("node1")[running.group]["owner"] == "ada"


def test_a_body_that_its_host_refuses_is_restored_bare_and_the_loss_is_kept(running: Bench) -> None:
    for host in running.hosts:
        running.admin.plant(host, running.group, {"owner": "ada"})
    running.admin.set_faults(
        {"kind": "refuse", "node": "node3", "group": running.group},
        {"kind": "answer", "status": 400, "node": "node1", "methods": ["POST"], "times": 1},
    )
    running.admin.set_latency(300, node="node3")  # refuses once the others have written
    end = running.end(running.start(Action.DELETE))
    assert end.operation.state is State.ROLLED_BACK
    assert running.effects("node1") == ["DELETE", "POST"]
    assert end.steps["node1"].lost_fields == ("owner",)
    assert running.admin.groups("node1")[running.group] == {"groupId": running.group}


def test_a_restore_that_is_forbidden_for_once_is_tried_again_with_the_whole_body(running: Bench) -> None:
    for host in running.hosts:
        running.admin.plant(host, running.group, {"owner": "ada"})
    running.admin.set_faults(
        {"kind": "refuse", "node": "node3", "group": running.group},
        {"kind": "answer", "status": 403, "node": "node1", "methods": ["POST"], "times": 1},
    )
    running.admin.set_latency(300, node="node3")  # refuses once the others have written
    end = running.end(running.start(Action.DELETE))
    assert end.operation.state is State.ROLLED_BACK
    assert running.effects("node1") == ["DELETE", "POST"]
    assert end.steps["node1"].lost_fields == ()
    assert running.admin.groups("node1")[running.group]["owner"] == "ada"


def test_a_group_over_the_size_cap_is_found_by_a_create_and_refused_to_a_delete(running: Bench) -> None:
    large = {"text": "x" * (running.settings.max_body_bytes + 1)}
    running.admin.plant("node2", running.group, large)
    end = running.end(running.start(Action.CREATE))
    assert end.outcomes == {"node1": "applied", "node2": "unchanged", "node3": "applied"}

    end = running.end(running.start(Action.DELETE))
    assert end.operation.state is State.ROLLED_BACK
    assert end.steps["node2"].outcome is Outcome.REFUSED
    assert running.admin.groups("node2")[running.group]["text"] == large["text"]
    assert running.holding() == set(running.hosts)


def test_a_host_that_is_down_is_unreachable_and_untouched(running: Bench) -> None:
    running.admin.down("node3")
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert end.steps["node3"].outcome is Outcome.UNREACHABLE
    assert not end.steps["node3"].touched
    assert running.holding() == set()


def test_a_host_down_during_rollback_keeps_the_operation_open_until_it_returns(running: Bench) -> None:
    group = running.group
    running.admin.set_faults({"kind": "refuse", "node": "node3", "group": group})
    running.admin.set_latency(700, node="node3")
    operation = running.start(Action.CREATE)
    eventually(lambda: group in running.admin.groups("node2"), "node2 has the group")
    running.admin.down("node2")
    eventually(lambda: running.read(operation).stalled_hosts == ("node2",), "node2 is named")
    eventually(lambda: running.read(operation).pending_hosts == ("node2",), "the others are restored")
    assert running.read(operation).state is State.ROLLING_BACK
    assert running.holding() <= {"node2"}
    running.admin.up("node2")
    end = running.end(operation)
    assert end.operation.state is State.ROLLED_BACK
    assert running.holding() == set()


def test_a_redirect_is_never_followed_and_aborts(running: Bench) -> None:
    running.admin.set_faults({"kind": "redirect", "node": "node2", "methods": ["POST"], "location": "/docs"})
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert "307" in (end.operation.reason or "")
    assert running.holding() == set()


def test_a_bad_request_is_told_from_a_group_that_exists(running: Bench) -> None:
    running.admin.set_faults({"kind": "answer", "status": 400, "node": "node2", "methods": ["POST"]})
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert end.steps["node2"].outcome is Outcome.REFUSED
    assert end.steps["node2"].before is not None
    assert end.steps["node2"].before.presence is Presence.ABSENT


def test_writes_are_spent_after_their_number(running: Bench) -> None:
    running.admin.set_faults({"kind": "error_before", "node": "node2", "methods": ["POST"]})
    end = running.end(running.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    posts = [entry for entry in running.history("node2") if entry.method == "POST"]
    assert len(posts) == running.settings.max_writes
    assert all(a.state is not AttemptState.OPEN for a in end.steps["node2"].attempts)


def test_once_a_host_has_failed_the_others_write_nothing_more(running: Bench) -> None:
    running.admin.set_faults({"kind": "refuse", "node": "node1", "group": running.group})
    for host in ("node2", "node3"):
        running.admin.set_faults({"kind": "error_before", "methods": ["GET"], "times": 3}, node=host)
    operation = running.start(Action.CREATE)
    end = running.end(operation)
    decided = (end.operation.decided_at or 0) / 1000
    late = [e for e in running.history() if e.method == "POST" and e.arrived > decided + 0.05]
    assert end.operation.state is State.ROLLED_BACK
    assert late == []


def test_rollback_does_not_wait_for_a_host_that_hangs(shared: Parts, tmp_path: Path) -> None:
    slow = {"read_timeout": "5", "call_timeout": "5", "settle_seconds": "5", "visibility_timeout": "40"}
    bench = Bench(*shared, tmp_path / "bench", overrides=slow)
    try:
        bench.worker()  # and no beat: nothing but the failing step itself can bring the rollback so soon
        bench.admin.set_faults(
            {"kind": "refuse", "node": "node2", "group": bench.group},
            {"kind": "hang_before", "node": "node3", "methods": ["GET"], "group": bench.group},
        )
        bench.admin.set_latency(200, node="node2")  # refuses once node1 has written
        bench.start(Action.CREATE)
        eventually(lambda: bench.effects("node1") == ["POST", "DELETE"], "node1 is restored")
        assert [entry.ended_at for entry in bench.history("node3")] == [None], "its first GET still hangs"
    finally:
        bench.close()


def test_a_worker_with_another_inventory_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    urls = list(bench.cluster.nodes.values())
    swapped = [urls[1], urls[0], urls[2]]
    other.write_text(
        "hosts:\n" + "".join(f"  - name: node{n}\n    url: {url}\n" for n, url in enumerate(swapped, 1))
    )
    bench.beat()
    bench.worker(env={"LOCKSTEP_INVENTORY": str(other)})
    end = bench.end(bench.start(Action.CREATE))
    assert end.operation.state is State.ROLLED_BACK
    assert "another URL" in (end.operation.reason or "")
    assert not any(bench.effects(host) for host in ("node1", "node2"))
