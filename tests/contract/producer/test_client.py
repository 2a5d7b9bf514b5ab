"""Enqueueing: what is recorded, published and refused."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

import lockstep.worker.celery.messages
from lockstep import (
    ClusterClient,
    InvalidInput,
    OperationIdReused,
    RecordGone,
    State,
    StoreUnavailable,
    UnknownOperation,
)
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import Action
from lockstep.worker.settings import Settings
from tests.contract.producer.hand import Hand
from tests.waits import PATIENCE, eventually


def queued(hand: Hand) -> int:
    """How many forward tasks wait for a worker."""
    return int(hand.redis.llen(f"{hand.settings.key_prefix}celery:operations"))


def test_an_accepted_operation_is_recorded_and_its_tasks_are_sent(cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-a")

    status = operation.status()
    assert re.fullmatch("[0-9a-f]{12}", operation.id)
    assert (status.id, status.group, status.action) == (operation.id, "team-a", Action.CREATE)
    assert (status.state, status.hosts_total, status.created_by) == (State.APPLYING, 3, "alice@desk")
    assert status.deadline_at - status.created_at == 300_000
    assert [step.host for step in operation.steps()] == ["node1", "node2", "node3"]
    assert (operation.published, operation.existing) == (True, False)
    assert queued(hand) == 3


def test_delete_takes_hosts_and_a_deadline(cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.delete_group("team-a", iter(["node3", "node1", "node3"]), deadline=1.5)

    status = operation.status()
    assert (status.action, status.hosts_total) == (Action.DELETE, 2)
    assert status.deadline_at - status.created_at == 1500
    assert queued(hand) == 2


def test_the_same_id_and_payload_give_the_existing_operation_and_send_nothing(
    cluster: ClusterClient, hand: Hand
) -> None:
    first = cluster.create_group("team-a", operation_id="ticket-1")
    again = cluster.create_group("team-a", ["node3", "node2", "node1"], operation_id="ticket-1")

    assert (again.id, again.existing, again.published) == ("ticket-1", True, False)
    assert first.status() == again.status()
    assert queued(hand) == 3


def test_the_same_id_answers_after_the_end_too(cluster: ClusterClient, hand: Hand) -> None:
    hand.commit(cluster.create_group("team-a", operation_id="ticket-1"))

    assert cluster.create_group("team-a", operation_id="ticket-1").wait(PATIENCE).committed
    assert queued(hand) == 3


@pytest.mark.parametrize("changed", ["group", "hosts", "action"])
def test_the_same_id_with_another_payload_is_refused(
    cluster: ClusterClient, hand: Hand, changed: str
) -> None:
    cluster.create_group("team-a", operation_id="ticket-1")
    before = hand.keys()
    message = (
        'operation id "ticket-1" belongs to another operation: '
        "repeat it with the same action, group and hosts, or choose a new id"
    )

    again = cluster.delete_group if changed == "action" else cluster.create_group
    group = "team-b" if changed == "group" else "team-a"
    hosts = ["node1"] if changed == "hosts" else None

    with pytest.raises(OperationIdReused, match=f"^{re.escape(message)}$"):
        again(group, hosts, operation_id="ticket-1")
    assert hand.keys() == before
    assert queued(hand) == 3


def test_an_answer_that_was_lost_on_the_way_does_not_leave_the_tasks_unsent(
    cluster: ClusterClient, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = cluster._link.store.accept
    # What the connection's own retry does when the first answer is lost.
    monkeypatch.setattr(cluster._link.store, "accept", lambda request: (accept(request), accept(request))[1])

    operation = cluster.create_group("team-a")

    assert (operation.existing, operation.published) == (False, True)
    assert queued(hand) == 3


def test_a_redis_lost_while_it_accepts_leaves_the_caller_an_id_to_repeat(
    cluster: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: object) -> None:
        raise StoreUnavailable("Redis does not answer: reset")

    monkeypatch.setattr(cluster._link.store, "accept", lost)
    with pytest.raises(StoreUnavailable) as caught:
        cluster.create_group("team-a", operation_id="mine")
    assert str(caught.value) == (
        'Redis does not answer: reset; whether operation "mine" was accepted is not known: '
        "repeat it with this id"
    )


GONE, OF = "Redis does not answer: broker gone", " of Redis' return"


@pytest.mark.parametrize(
    ("error", "why", "of"),
    [
        (OperationalError("broker gone"), GONE, OF),
        (redis.ConnectionError("broker gone"), GONE, OF),
        (OSError("broker gone"), GONE, OF),
        (redis.ResponseError("User x has no permissions to run the 'lpush' command"), "Redis does", OF),
        (ImportError("no module\nof this name"), "ImportError: no module of this name", ""),
        (TypeError("unexpected keyword"), "TypeError: unexpected keyword", ""),
    ],
)
def test_an_operation_whose_tasks_cannot_be_sent_is_accepted_all_the_same(
    cluster: ClusterClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    why: str,
    of: str,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(lockstep.worker.celery.messages, "publish", refuse)

    operation = cluster.create_group("team-a")

    assert not operation.published
    assert operation.status().state is State.APPLYING
    (message,) = caplog.messages
    assert message.startswith(
        f'operation "{operation.id}" is accepted, but its tasks could not be sent ({why}'
    )
    assert message.endswith(f": the sweep sends them within about 32 s{of}")


def test_a_redis_that_dies_right_after_the_acceptance_is_no_failure(
    own_redis: RedisServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ClusterClient(settings.at(own_redis.url)) as cluster:
        accept = cluster._link.store.accept

        def accept_and_die(request: object) -> object:
            said = accept(request)  # type: ignore[arg-type]
            own_redis.kill()
            return said

        monkeypatch.setattr(cluster._link.store, "accept", accept_and_die)
        monkeypatch.setattr("lockstep.producer.client.acceptance.PUBLISH_RETRIES", 1)
        operation = cluster.create_group("team-a")
        assert not operation.published

        own_redis.start()
        assert operation.status().state is State.APPLYING


def test_a_caller_for_whom_no_connection_is_free_hears_so_in_time(
    cluster: ClusterClient, hand: Hand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lockstep.worker.celery.messages, "ACQUIRE", 0.2)
    pool: Any = cluster._broker._celery().pool
    held = [pool.acquire(block=True) for _ in range(pool.limit)]
    made: list[Operation] = []
    asks = threading.Thread(target=lambda: made.append(cluster.create_group("team-a")), daemon=True)
    asks.start()
    try:
        eventually(lambda: made, "the caller has its answer")
    finally:
        for each in held:
            each.release()
        asks.join(PATIENCE)
    assert (made[0].published, made[0].status().state) == (False, State.APPLYING)
    (told,) = caplog.messages
    assert "all connections to it are in use): the sweep sends them within" in told
    assert "Redis" not in told, "which answers all the time"
    assert queued(hand) == 0
    assert cluster.create_group("team-b").published


def test_an_operation_is_found_by_its_id(cluster: ClusterClient) -> None:
    made = cluster.delete_group("team-a")

    found = cluster.operation(made.id)

    assert (found.id, found.group, found.action) == (made.id, "team-a", Action.DELETE)


def test_an_unknown_operation_is_named(cluster: ClusterClient, hand: Hand) -> None:
    with pytest.raises(UnknownOperation) as caught:
        cluster.operation("nope")

    assert str(caught.value) == (
        'operation id "nope" is unknown: no operation has it, its record was dropped with age, '
        "or Redis has lost its data"
    )
    assert caught.value.page == RecordGone.page
    assert hand.keys() == []


def test_operations_are_listed_newest_first(cluster: ClusterClient) -> None:
    made = [cluster.create_group(f"team-{n}").id for n in range(4)]

    listed = [each.id for each in cluster.operations(limit=3)]

    assert set(listed) <= set(made)
    assert len(listed) == 3
    created = [each.created_at for each in cluster.operations()]
    assert created == sorted(created, reverse=True)


@pytest.mark.parametrize("limit", [0, -1, 10_001, True, 1.5, "3", None])
def test_a_limit_out_of_range_is_refused(cluster: ClusterClient, limit: int) -> None:
    with pytest.raises(
        InvalidInput, match=r"^limit .* is out of range: give a whole number from 1 to 10000$"
    ):
        cluster.operations(limit)


def test_the_record_says_who_asked_by_default(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    with ClusterClient(settings) as cluster:
        assert cluster.create_group("team-a").status().created_by == "bob@desk"


def test_a_client_serves_many_threads(cluster: ClusterClient, hand: Hand) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: cluster.create_group(f"team-{n}"), range(24)))

    assert len({each.id for each in made}) == 24
    assert all(each.published for each in made)
    assert queued(hand) == 24 * 3
