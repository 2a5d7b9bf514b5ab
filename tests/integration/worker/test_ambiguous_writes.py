"""Forward writes of unknown fate, through a real worker; judged by the nodes' own histories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lockstep.worker.operation.model import Action, State
from tests.integration.worker.ambiguous import AMBIGUOUS, Ran, groups_for, once, run_at_once
from tests.integration.worker.harness import Bench

WRITE = ["POST", "DELETE"]


@pytest.fixture(scope="module")
def created_and_deleted(served: Bench) -> Iterator[dict[str, tuple[Ran, Ran]]]:
    """For each fault, a create and then a delete during which it strikes once on node2."""
    groups = groups_for(served, "commit")
    served.admin.set_faults(*once(groups, WRITE))
    created = run_at_once(served, Action.CREATE, groups)
    served.admin.set_faults(*once(groups, WRITE))
    deleted = run_at_once(served, Action.DELETE, groups)
    yield {name: (created[name], deleted[name]) for name in groups}
    served.clear()


@pytest.fixture(scope="module")
def refused(served: Bench) -> Iterator[dict[str, Ran]]:
    """For each fault, a create during which it strikes once on node2, while node3 refuses."""
    groups = groups_for(served, "refused")
    refusal = {"kind": "refuse", "node": "node3", "group": f"{served.group}-refused-*"}
    served.admin.set_faults(*once(groups, ["POST"]), refusal)
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
    assert ran.end.operation.reason == "node3 refused (403)"
    assert ran.holding == set()
    assert ran.effects["node2"] in (["POST", "DELETE"], [])
    assert ran.effects["node3"] == []
