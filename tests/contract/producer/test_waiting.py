"""Waiting and watching, in threads: what ends a wait, what it says, and what it survives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstep import (
    ClusterClient,
    InvalidInput,
    Outcome,
    Presence,
    RecordGone,
    Result,
    State,
    Status,
    StoreUnavailable,
    Undo,
    UnknownOperation,
    WaitTimeout,
)
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import Decision, OperationId
from lockstep.worker.record import events
from lockstep.worker.record.events import Events
from lockstep.worker.settings import Settings
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand, listening
from tests.waits import PATIENCE, eventually


@pytest.mark.usefixtures("pushed_only")
def test_a_commit_ends_the_wait_at_once(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(operation.wait, PATIENCE)
    listening(hand, operation)

    hand.apply(operation, NODE1)
    hand.already(operation, NODE2)
    assert not waiting.done()
    hand.apply(operation, NODE3)
    hand.decide(operation, Decision.COMMIT)

    result = waiting.result(PATIENCE)
    assert (result.operation_id, result.group, result.state) == (operation.id, "team-a", State.COMMITTED)
    assert (result.committed, result.reason, result.pending_hosts) == (True, None, ())
    assert [host.outcome for host in result.hosts] == [Outcome.APPLIED, Outcome.UNCHANGED, Outcome.APPLIED]
    assert [host.before for host in result.hosts] == [Presence.ABSENT, Presence.PRESENT, Presence.ABSENT]
    assert [host.attempts for host in result.hosts] == [1, 0, 1]
    eventually(lambda: hand.subscribers(operation.id) == 0, "the subscription is gone")


def test_a_committed_operation_answers_while_it_still_settles(operation: Operation, hand: Hand) -> None:
    hand.begin(operation, NODE1)
    hand.already(operation, NODE1)  # it shows now: ours, with its write still open
    for host in (NODE2, NODE3):
        hand.apply(operation, host)
    hand.decide(operation, Decision.COMMIT)

    assert operation.wait(PATIENCE).committed
    status = operation.status()
    assert (status.settling, status.ended) == (True, False)
    with pytest.raises(WaitTimeout):
        operation.wait_end(0)


@pytest.mark.usefixtures("pushed_only")
def test_wait_end_waits_for_the_lock(operation: Operation, hand: Hand, threads: ThreadPoolExecutor) -> None:
    hand.begin(operation, NODE1)
    hand.already(operation, NODE1)
    for host in (NODE2, NODE3):
        hand.apply(operation, host)
    hand.decide(operation, Decision.COMMIT)
    waiting = threads.submit(operation.wait_end, PATIENCE)
    listening(hand, operation)
    assert not waiting.done()

    hand.store.abandon(operation.id, NODE1, "test")

    assert waiting.result(PATIENCE).committed
    assert operation.status().ended


@pytest.mark.usefixtures("pushed_only")
def test_a_rollback_ends_the_wait_with_its_reason(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(operation.wait, PATIENCE)
    listening(hand, operation)

    hand.apply(operation, NODE1)
    hand.lose(operation, NODE2)
    hand.roll_back(operation)
    eventually(lambda: operation.status().state is State.ROLLING_BACK, "the decision")
    assert not waiting.done()
    hand.restore(operation, NODE1)

    result = waiting.result(PATIENCE)
    assert (result.state, result.committed) == (State.ROLLED_BACK, False)
    assert result.reason == "node2: connection refused"
    assert [host.undo for host in result.hosts] == [Undo.RESTORED, Undo.NONE, Undo.NONE]
    assert [host.outcome for host in result.hosts] == [Outcome.APPLIED, Outcome.UNREACHABLE, None]


@pytest.mark.usefixtures("pushed_only")
def test_hosts_that_are_away_end_the_wait_once_all_others_are_restored(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(operation.wait, PATIENCE)
    listening(hand, operation)
    hand.apply(operation, NODE1)
    hand.apply(operation, NODE3)
    hand.roll_back(operation)
    hand.stall(operation, NODE3)
    eventually(lambda: operation.status().stalled_hosts == (NODE3,), "node3 is named")
    assert not waiting.done()

    hand.restore(operation, NODE1)

    result = waiting.result(PATIENCE)
    assert (result.state, result.committed) == (State.ROLLING_BACK, False)
    assert result.pending_hosts == (NODE3,)
    (_, _, node3) = result.hosts
    assert (node3.undo, node3.reason) == (Undo.NEEDED, "connection refused")
    assert node3.due_at is not None


def test_an_abandoned_operation_ends_the_wait(operation: Operation, hand: Hand) -> None:
    hand.apply(operation, NODE1)
    hand.roll_back(operation)
    hand.store.abandon(operation.id, NODE1, "abandoned by bob: scrapped")

    result = operation.wait(PATIENCE)

    assert result.state is State.ABANDONED
    assert (result.hosts[0].undo, result.hosts[0].reason) == (Undo.ABANDONED, "abandoned by bob: scrapped")


def test_a_timeout_names_the_operation_which_goes_on(operation: Operation, hand: Hand) -> None:
    began = time.monotonic()
    with pytest.raises(WaitTimeout) as caught:
        operation.wait(0.2)
    assert 0.2 <= time.monotonic() - began < 5
    assert str(caught.value) == (
        f'operation "{operation.id}" is applying after 0.2 s: it goes on; ask again later'
    )

    hand.commit(operation)
    assert operation.wait(0).committed


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "3", True])
def test_a_bad_timeout_is_refused(operation: Operation, timeout: float) -> None:
    with pytest.raises(InvalidInput, match=r"^timeout "):
        operation.wait(timeout)


def test_a_record_that_is_gone_ends_the_wait(operation: Operation, hand: Hand) -> None:
    hand.redis.delete(*hand.keys())
    with pytest.raises(RecordGone) as caught:
        operation.wait(PATIENCE)
    assert not isinstance(caught.value, InvalidInput)
    assert str(caught.value) == (
        f'the record of operation "{operation.id}" (create "team-a") vanished from Redis after it was '
        "accepted: hosts may have been changed, and nothing carries it on; see what they hold with "
        f"`lockstep drift {operation.id}`, then bring them to one state with `lockstep apply FILE`, "
        "or with `lockstep create team-a` or `delete`"
    )


@pytest.mark.parametrize(
    "ask",
    [
        Operation.status,
        Operation.steps,
        Operation.wait,
        Operation.wait_end,
        Operation.cancel,
        lambda operation: operation.abandon("node1", "scrapped"),
        lambda operation: list(operation.watch()),
        lambda operation: list(operation.watch_hosts()),
        lambda operation: asyncio.run(operation.wait_async()),
        lambda operation: asyncio.run(operation.wait_end_async()),
        lambda operation: asyncio.run(anext(aiter(operation))),
    ],
)
def test_whatever_a_handle_is_asked_it_tells_that_the_record_is_gone(
    operation: Operation, hand: Hand, cluster: ClusterClient, ask: Callable[[Operation], object]
) -> None:
    hand.redis.delete(*hand.keys())
    with pytest.raises(RecordGone, match="lockstep drift"):
        ask(operation)
    with pytest.raises(RecordGone):  # whoever asks later is told as well
        cluster.operation(operation.id)
    assert 0 < hand.redis.pttl(hand.keys()[0]) <= 7 * 86_400_000


def test_a_record_lost_between_two_readings_is_no_result(
    operation: Operation, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.commit(operation)
    steps = operation._link.waiting.steps

    def lose(key: OperationId) -> object:
        hand.redis.delete(*hand.keys())
        return steps(key)

    monkeypatch.setattr(operation._link.waiting, "steps", lose)
    monkeypatch.setattr(events, "LOOK_AGAIN", 0.01)
    with pytest.raises(RecordGone):
        operation.wait(PATIENCE)


def test_a_record_that_was_dropped_after_its_end_is_unknown(operation: Operation, hand: Hand) -> None:
    hand.commit(operation)
    assert operation.status().ended
    hand.redis.delete(*hand.keys())
    with pytest.raises(UnknownOperation):
        operation.status()


def test_events_that_are_lost_are_made_up_for(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Events, "subscribe", lambda self: None)
    monkeypatch.setattr(events, "LOOK_AGAIN", 0.05)
    waiting = threads.submit(operation.wait, PATIENCE)

    hand.commit(operation)

    assert waiting.result(PATIENCE).committed


def test_a_wait_outlives_a_restart_of_redis(
    own_redis: RedisServer, settings: Settings, threads: ThreadPoolExecutor
) -> None:
    settings = settings.at(own_redis.url)
    seen: list[Status | None] = []
    with ClusterClient(settings) as cluster:
        operation = cluster.create_group("team-a")
        waiting = threads.submit(operation.wait, PATIENCE, seen.append)
        hand = Hand(settings)
        listening(hand, operation)

        own_redis.kill()
        eventually(lambda: None in seen, "the caller is told that Redis does not answer")
        assert not waiting.done()
        own_redis.start()
        hand.commit(operation)

        assert waiting.result(PATIENCE).committed
        hand.close()
    assert seen.count(None) == 1
    assert [status.state for status in seen if status][-1] is State.COMMITTED


def test_a_timeout_holds_while_redis_is_away(own_redis: RedisServer, settings: Settings) -> None:
    with ClusterClient(settings.at(own_redis.url)) as cluster:
        operation = cluster.create_group("team-a")
        own_redis.kill()
        with pytest.raises(WaitTimeout) as caught:
            operation.wait(0.3)
    assert str(caught.value) == (
        f'operation "{operation.id}" was accepted after 0.3 s, and Redis does not answer: '
        "it goes on; ask again later"
    )


def test_a_redis_lost_between_two_readings_prolongs_the_wait(
    operation: Operation, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = operation._link.waiting.steps
    lost = iter([True, True])

    def unlucky(key: OperationId) -> object:
        if next(lost, False):
            raise StoreUnavailable("Redis does not answer")
        return steps(key)

    monkeypatch.setattr(operation._link.waiting, "steps", unlucky)
    monkeypatch.setattr(events, "LOOK_AGAIN", 0.01)
    hand.commit(operation)

    assert operation.wait(PATIENCE).committed


def test_a_result_is_plain_data(operation: Operation, hand: Hand) -> None:
    hand.commit(operation)
    result = operation.wait(0)
    assert isinstance(result, Result)
    assert hash(result) == hash(operation.wait(0))
