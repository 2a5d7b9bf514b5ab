"""Writes of unknown fate that undo, through a real worker; judged by the nodes' own histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from lockstep.mock_api.admin import Fault, Json
from lockstep.worker.operation.model import Action, GroupId, State, Undo
from tests.integration.worker.ambiguous import AMBIGUOUS, Ran, ends, groups_for, once, start_all
from tests.integration.worker.harness import Bench
from tests.waits import eventually

FIELDS: dict[str, Json] = {"owner": "ada", "size": 3}


def cancelled_half_way(bench: Bench, action: Action, groups: Mapping[str, GroupId]) -> dict[str, Ran]:
    """Cancel each operation once it has changed node1 and node2, while node3 asks for patience."""
    forward, inverse = ("POST", "DELETE") if action is Action.CREATE else ("DELETE", "POST")
    patience: Fault = {
        "kind": "throttle",
        "status": 429,
        "retry_after": 3,
        "node": "node3",
        "methods": ["GET"],
    }
    bench.admin.set_faults(*once(groups, [inverse]), patience)
    operations = start_all(bench, action, groups)
    for name, group in groups.items():
        for host in ("node1", "node2"):
            eventually(lambda h=host, g=group: bench.effects(h, g) == [forward], f"{host} is changed")  # type: ignore[misc]
        assert bench.store.cancel(operations[name], "half way") is None
    return ends(bench, groups, operations)


@pytest.fixture(scope="module")
def created(served: Bench) -> Iterator[dict[str, Ran]]:
    """For each fault, a create that is rolled back, during which it strikes the DELETE on node2 once."""
    yield cancelled_half_way(served, Action.CREATE, groups_for(served, "created"))
    served.clear()


@pytest.fixture(scope="module")
def deleted(served: Bench) -> Iterator[dict[str, tuple[Ran, dict[str, Json]]]]:
    """For each fault, a delete that is rolled back, during which it strikes the POST on node2 once; with
    what node2 holds at the end."""
    groups = groups_for(served, "deleted")
    for group in groups.values():
        for host in served.hosts:
            served.admin.plant(host, group, FIELDS)
    ran = cancelled_half_way(served, Action.DELETE, groups)
    held = served.admin.groups("node2")
    yield {name: (ran[name], held[group]) for name, group in groups.items()}
    served.clear()


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_create_is_undone_although_the_answer_to_the_undo_is_lost(
    created: dict[str, Ran], name: str
) -> None:
    ran = created[name]
    assert ran.end.operation.state is State.ROLLED_BACK
    assert ran.holding == set()
    assert ran.effects == {"node1": ["POST", "DELETE"], "node2": ["POST", "DELETE"], "node3": []}
    assert ran.end.steps["node2"].undo is Undo.RESTORED
    assert ran.end.steps["node3"].undo is Undo.NONE


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_deleted_group_is_restored_whole_although_the_answer_to_the_undo_is_lost(
    deleted: dict[str, tuple[Ran, dict[str, Json]]], name: str
) -> None:
    ran, held = deleted[name]
    assert ran.end.operation.state is State.ROLLED_BACK
    assert ran.effects == {"node1": ["DELETE", "POST"], "node2": ["DELETE", "POST"], "node3": []}
    assert ran.holding == set(ran.effects)
    assert {field: held[field] for field in FIELDS} == FIELDS
    assert ran.end.steps["node2"].undo is Undo.RESTORED
    assert ran.end.steps["node2"].lost_fields == ()
