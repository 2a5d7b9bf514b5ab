"""What hosts held before is left alone or brought back, through a real worker."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Action, Outcome, State
from tests.integration.worker.harness import Bench


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
