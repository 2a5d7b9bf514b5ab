"""What people are shown of an operation whose host answers, and nobody can read what: by its real steps."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from lockstep import ClusterClient
from lockstep.worker.operation.host import NAMED_AFTER
from lockstep.worker.operation.model import Action, GroupId, State
from lockstep.worker.settings import load_settings
from lockstep.worker.steps.apply import Next, StepContext, forward
from lockstep.worker.steps.rollback import rollback
from lockstep.worker.tasks.runtime import build_runtime
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand
from tests.contract.producer.nodes import Node
from tests.waits import eventually

GROUP = GroupId("team-a")
BODY = json.dumps({"groupId": GROUP}).encode()


def gzipped(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


UNREADABLE = pytest.mark.parametrize(
    "answer", [gzipped(gzip.compress(BODY)[:-12]), gzipped(BODY)], ids=["half a gzip", "no gzip"]
)


@pytest.fixture
def context(nodes: dict[str, Node], monkeypatch: pytest.MonkeyPatch) -> StepContext:
    """What a worker has, with little patience; it spares no host."""
    monkeypatch.setenv("LOCKSTEP_PATIENCE", "0.3")
    monkeypatch.setattr("lockstep.worker.tasks.runtime.gc.freeze", lambda: None)
    made = build_runtime(load_settings()).context
    return replace(made, host_to_apply=made.host)


def line_of(node: str, text: str) -> str:
    """The line of a host under WHAT HAPPENED and NOTE."""
    return next(line for line in text.splitlines() if line.startswith(f"{node} "))


@UNREADABLE
def test_show_says_why_the_operation_was_rolled_back(
    lockstep: Run,
    nodes: dict[str, Node],
    context: StepContext,
    cluster: ClusterClient,
    hand: Hand,
    answer: bytes,
) -> None:
    nodes[NODE1].answers = [answer]
    operation = cluster.create_group(GROUP)
    for host in (NODE2, NODE3):
        hand.apply(operation, host)

    def step(tries: int) -> Next:
        return forward(context, operation.id, GROUP, Action.CREATE, NODE1, tries).next

    assert step(1) is Next.AGAIN, "its patience is not over"
    assert lockstep("list", "--stuck").out == "no operation needs you\n"
    eventually(lambda: step(2) is Next.FAILED, "its patience is over")

    (why,) = (each.reason for each in operation.steps() if each.host == NODE1)
    assert why is not None
    assert "unreadable: the " in why
    shown = lockstep("show", operation.id)
    assert shown.code == 0
    assert f"reason     node1: {why}\n" in shown.out
    assert " not changed: nothing was sent " in line_of("node1", shown.out)
    assert line_of("node1", shown.out).endswith(why)
    document = json.loads(lockstep("show", operation.id, "--json").out)
    assert document["state"] == State.ROLLING_BACK
    assert [host["reason"] for host in document["hosts"]] == [why, None, None]


@UNREADABLE
def test_what_is_stuck_says_what_to_mend_where_the_host_cannot_be_restored(
    lockstep: Run,
    nodes: dict[str, Node],
    context: StepContext,
    cluster: ClusterClient,
    hand: Hand,
    answer: bytes,
) -> None:
    nodes[NODE1].answers = [answer]
    operation = cluster.create_group(GROUP)
    hand.apply(operation, NODE1)
    hand.lose(operation, NODE2)
    hand.roll_back(operation)
    came = [rollback(context, operation.id, NODE1, tries + 1).text for tries in range(NAMED_AFTER)]
    (why,) = set(came)
    assert "unreadable: the " in why

    shown = lockstep("show", operation.id)
    assert " changed by its write before the decision, to be undone " in line_of("node1", shown.out)
    assert why in line_of("node1", shown.out)
    stuck = lockstep("list", "--stuck")
    assert stuck.code == 1
    what, advice, *_ = stuck.out.splitlines()
    assert what == f"{operation.id}  create team-a: node1 cannot be restored"
    assert advice == (
        f"  lockstep probe node1  # it answers, but not so that it can be read ({why}): "
        "mend what it, or a proxy before it, sends; until then it counts as giving no answer"
    )
    (needy,) = json.loads(lockstep("list", "--stuck", "--json").out)["operations"]
    assert needy["stuck"]["advice"][0].startswith("lockstep probe node1 ")
