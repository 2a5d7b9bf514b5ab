"""Watching and cancelling: each change is told once, and one decision holds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstep import CancelRefused, ClusterClient, RecordGone, State, Status
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.model import Decision, OperationId
from lockstep.worker.record import events
from lockstep.worker.record.link import Link
from tests.contract.producer.hand import NODE1, NODE2, NODE3, Hand, listening
from tests.waits import PATIENCE, eventually


@pytest.mark.usefixtures("pushed_only")
def test_watching_tells_each_change_until_the_end(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor
) -> None:
    told: list[Status] = []

    def watch() -> None:
        for status in operation.watch():
            told.append(status)  # noqa: PERF402 - the test looks at it meanwhile

    watching = threads.submit(watch)
    listening(hand, operation)
    for done, host in enumerate((NODE1, NODE2, NODE3), 1):
        hand.apply(operation, host)
        eventually(lambda: told and told[-1].hosts_done == done, f"{done} hosts are told of")  # noqa: B023
    hand.decide(operation, Decision.COMMIT)
    watching.result(PATIENCE)

    assert [status.hosts_done for status in told] == sorted(status.hosts_done for status in told)
    assert len(told) == len(set(told))
    assert (told[0].state, told[-1].state, told[-1].ended) == (State.APPLYING, State.COMMITTED, True)
    assert list(operation.watch()) == [operation.status()]


@pytest.mark.usefixtures("pushed_only")
def test_an_event_that_changes_nothing_is_not_told(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0
    look = events.look

    def counted(link: Link, key: OperationId, with_steps: bool) -> events.Snapshot:
        nonlocal readings
        readings += 1
        return look(link, key, with_steps)

    monkeypatch.setattr(events, "look", counted)
    watching = threads.submit(lambda: list(operation.watch()))
    listening(hand, operation)
    eventually(lambda: readings == 1, "the first reading")
    hand.begin(operation, NODE1)  # an attempt is no change of the operation
    eventually(lambda: readings == 2, "the second reading")
    hand.roll_back(operation)
    hand.restore(operation, NODE1)
    hand.store.abandon(operation.id, NODE1, "its write is still open")

    told = watching.result(PATIENCE)
    assert told[-1].ended
    assert len(told) == len(set(told))


@pytest.mark.usefixtures("pushed_only")
def test_who_waits_for_the_end_alone_reads_nothing_before_the_decision(
    operation: Operation, hand: Hand, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.worker.record.events.COALESCE", 0.0)
    read: list[events.Snapshot] = []
    look = events.look

    def kept(link: Link, key: OperationId, with_steps: bool) -> events.Snapshot:
        read.append(look(link, key, with_steps))
        return read[-1]

    monkeypatch.setattr(events, "look", kept)
    waiting = threads.submit(operation.wait, PATIENCE)
    listening(hand, operation)
    hand.commit(operation)
    assert waiting.result(PATIENCE).committed
    assert len(read) <= 2, "once before, and once told of the decision"
    assert len(read[-1].steps) == len(operation.steps()), "with its hosts at once"


def test_a_burst_of_events_is_one_reading(
    operation: Operation, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.worker.record.events.COALESCE", 0.05)
    with events.Events(operation._link, operation.id) as told:
        told.subscribe()
        for host in (NODE1, NODE2):
            hand.apply(operation, host)
        began = time.monotonic()
        told.wait(PATIENCE, events.COALESCE)
        assert 0.03 < time.monotonic() - began < 5
        hand.apply(operation, NODE3)
        told.wait(PATIENCE, gather=PATIENCE)  # decided: at once
        assert time.monotonic() - began < PATIENCE


def test_cancelling_rolls_back_with_who_and_why(operation: Operation) -> None:
    operation.cancel(" wrong group ")

    result = operation.wait(PATIENCE)
    assert (result.state, result.reason) == (State.ROLLED_BACK, "cancelled by alice@desk: wrong group")
    operation.cancel("wrong group")  # the same again is no other cancel


def test_a_cancel_after_the_decision_is_refused(cluster: ClusterClient, hand: Hand) -> None:
    committed = cluster.create_group("team-a")
    hand.commit(committed)
    with pytest.raises(CancelRefused) as caught:
        committed.cancel()
    text = f'operation "{committed.id}" cannot be cancelled'
    assert str(caught.value) == f"{text}: it is committed; delete the group instead"

    for touched, state in ((True, "rolling back"), (False, "rolled back")):
        other = cluster.delete_group(f"team-{touched}")
        if touched:
            hand.apply(other, NODE1)
        hand.roll_back(other)
        with pytest.raises(CancelRefused) as caught:
            other.cancel()
        assert str(caught.value) == f'operation "{other.id}" cannot be cancelled: it is {state} already'


def test_cancelling_a_record_that_is_gone_names_it(operation: Operation, hand: Hand) -> None:
    hand.redis.delete(*hand.keys())
    with pytest.raises(RecordGone, match=operation.id):
        operation.cancel()
