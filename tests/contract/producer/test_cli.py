"""The command: what it prints, where, and what it ends with."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError

import pytest

from lockstep import ClusterClient, State, Status
from lockstep.producer.client.operation import Operation, WaitState
from lockstep.worker.monitoring import tracing
from tests.contract.producer.conftest import Ran, Run
from tests.contract.producer.hand import Hand
from tests.waits import PATIENCE


@pytest.fixture
def waited(
    lockstep: Run, cluster: ClusterClient, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run `lockstep ACTION team-a --id mine …`, and have `play` play the workers once it waits."""
    told = threading.Event()
    tell = WaitState.is_over

    def is_over(self: WaitState, status: Status | None) -> bool:
        over = tell(self, status)
        told.set()
        return over

    monkeypatch.setattr(WaitState, "is_over", is_over)

    def run(play: Callable[[], None], *arguments: str, action: str = "create") -> Ran:
        def worker() -> None:
            assert told.wait(PATIENCE), "the command waits"
            play()

        playing = threads.submit(worker)
        ran = lockstep(action, "team-a", "--id", "mine", *arguments)
        playing.result(PATIENCE)
        return ran

    return run


def test_traces_that_are_asked_for_and_not_here_are_named_in_one_line(
    lockstep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setenv(tracing.EXPORTER, "otlp")
    monkeypatch.setattr(tracing, "version", absent)
    tracing._exporting.cache_clear()
    try:
        ran = lockstep("create", "team-a", "--no-wait")
    finally:
        tracing._exporting.cache_clear()
    assert ran.code == 0
    assert ran.err.splitlines()[0] == (
        "lockstep: no traces: OpenTelemetry is asked for, but not here (pip install 'lockstep[tracing]')"
    )


def test_no_wait_prints_the_id_and_nothing_else(lockstep: Run, cluster: ClusterClient) -> None:
    ran = lockstep(
        "create", "team-a", "--no-wait", "--hosts", "node1, node3", "--as", "carol", "--deadline", "9"
    )

    status = cluster.operation(ran.out.strip()).status()
    assert ran.code == 0
    assert re.fullmatch("[0-9a-f]{12}\n", ran.out)
    assert ran.err == f"accepted: create team-a (operation {status.id})\n"
    assert (status.created_by, status.hosts_total) == ("carol", 2)
    assert status.deadline_at - status.created_at == 9000


def test_repeating_an_id_is_told(lockstep: Run) -> None:
    lockstep("delete", "team-a", "--no-wait", "--id", "mine")
    ran = lockstep("delete", "team-a", "--no-wait", "--id", "mine")
    assert (ran.code, ran.out) == (0, "mine\n")
    assert ran.err == "accepted before: delete team-a (operation mine)\n"


@pytest.mark.parametrize(
    "other",
    [("create", "team-b"), ("delete", "team-a"), ("create", "team-a", "--hosts", "node1")],
    ids=["another group", "another action", "other hosts"],
)
def test_reusing_an_id_is_refused_and_changes_nothing(
    lockstep: Run, hand: Hand, other: tuple[str, ...]
) -> None:
    lockstep("create", "team-a", "--no-wait", "--id", "mine")
    before = hand.content()
    ran = lockstep(*other, "--no-wait", "--id", "mine")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        'lockstep: error: operation id "mine" belongs to another operation: '
        "repeat it with the same action, group and hosts, or choose a new id\n"
    )
    assert hand.content() == before


def test_a_commit_is_told_in_one_line_and_exits_with_0(
    waited: Callable[..., Ran], cluster: ClusterClient, hand: Hand
) -> None:
    def play() -> None:
        operation = cluster.operation("mine")
        hand.already(operation, hand.hosts[0])
        hand.commit(operation)

    ran = waited(play)

    assert (ran.code, ran.out) == (
        0, 'created group "team-a" on 3 hosts, there before on 1 of them (operation mine)\n',
    )  # fmt: skip
    first, *_, last = ran.err.splitlines()
    assert first == "create team-a: applying, 0 of 3 hosts done (operation mine)"
    assert last == "create team-a: committed, 3 of 3 hosts done (operation mine)"


def test_a_rollback_is_told_with_its_reason_and_exits_with_1(
    waited: Callable[..., Ran], cluster: ClusterClient, hand: Hand
) -> None:
    ran = waited(lambda: hand.roll_back(cluster.operation("mine")), action="delete")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == (
        "rolled back, every host is as before: "
        'delete group "team-a", because cancelled by a test (operation mine)'
    )


def test_a_rollback_that_lacks_a_host_names_it(
    waited: Callable[..., Ran], cluster: ClusterClient, hand: Hand
) -> None:
    def play() -> None:
        operation = cluster.operation("mine")
        hand.apply(operation, hand.hosts[2])
        hand.roll_back(operation)
        hand.stall(operation, hand.hosts[2])

    ran = waited(play)

    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines()[-1] == (
        "rolling back, node3 pending and retried until restored: "
        'create group "team-a", because cancelled by a test (operation mine)'
    )


def test_an_abandoned_host_is_named(waited: Callable[..., Ran], cluster: ClusterClient, hand: Hand) -> None:
    def play() -> None:
        operation = cluster.operation("mine")
        hand.apply(operation, hand.hosts[2])
        hand.roll_back(operation)
        hand.store.abandon(operation.id, hand.hosts[2], "abandoned by bob")

    ran = waited(play)

    assert (ran.code, ran.out) == (7, "")
    assert ran.err.splitlines()[-1].startswith("rolled back except on node3, abandoned: create group")


def test_giving_up_waiting_prints_the_id(lockstep: Run, cluster: ClusterClient) -> None:
    ran = lockstep("create", "team-a", "--timeout", "0.1", "--id", "mine")

    assert (ran.code, ran.out) == (4, "")
    assert ran.err.splitlines()[-1] == (
        'lockstep: error: operation "mine" is applying after 0.1 s: it goes on; ask again later'
    )
    assert cluster.operation("mine").status().decision is None


def test_giving_up_waiting_in_json_is_one_document(lockstep: Run) -> None:
    ran = lockstep("create", "team-a", "--timeout", "0.1", "--id", "mine", "--json")

    document = json.loads(ran.out)
    assert ran.code == 4
    assert (document["id"], document["state"], document["committed"]) == ("mine", "applying", False)


def test_a_busy_group_is_refused_with_its_owner_and_changes_nothing(
    lockstep: Run, cluster: ClusterClient, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_LOCK_WAIT", "0.1")
    owner = cluster.create_group("team-a")
    before = hand.keys()

    ran = lockstep("delete", "team-a")

    assert (ran.code, ran.out) == (6, "")
    assert ran.err == (
        f'lockstep: group "team-a" is held by operation "{owner.id}": waiting\n'
        f'lockstep: error: group "team-a" is busy: operation "{owner.id}" still holds it after 0.1 s '
        "(LOCKSTEP_LOCK_WAIT); wait for it, then ask again\n"
    )
    assert hand.keys() == before


def test_a_cancel_rolls_back_and_says_by_whom_and_why(lockstep: Run, cluster: ClusterClient) -> None:
    operation = cluster.create_group("team-a", operation_id="mine")

    ran = lockstep("cancel", "mine", "--reason", "wrong group", "--as", "bob")

    assert (ran.code, ran.out, ran.err) == (
        0, 'cancelled operation mine: create "team-a" is rolled back\n', "",
    )  # fmt: skip
    assert operation.status().reason == "cancelled by bob: wrong group"


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (Hand.commit, "it is committed; delete the group instead"),
        (Hand.roll_back, "it is rolled back already"),
    ],
)
def test_a_cancel_after_the_end_is_refused_and_changes_nothing(
    lockstep: Run, cluster: ClusterClient, hand: Hand, end: Callable[[Hand, Operation], None], why: str
) -> None:
    end(hand, cluster.create_group("team-a", operation_id="mine"))
    before = hand.content()

    ran = lockstep("cancel", "mine")

    assert (ran.code, ran.out) == (8, "")
    assert ran.err == f'lockstep: error: operation "mine" cannot be cancelled: {why}\n'
    assert hand.content() == before


def test_json_of_a_wait_is_the_operation_at_its_answer(
    waited: Callable[..., Ran], cluster: ClusterClient, hand: Hand
) -> None:
    ran = waited(lambda: hand.commit(cluster.operation("mine")), "--json")

    document = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (document["committed"], document["state"]) == (True, State.COMMITTED)
