"""Two operations on one group: the later waits for the lock, storing nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstep import ClusterClient, GroupBusy
from lockstep.worker.record import events
from lockstep.worker.record.events import Events
from lockstep.worker.settings import Settings
from tests.contract.producer.hand import Hand
from tests.waits import PATIENCE, eventually


@pytest.fixture
def hasty(settings: Settings) -> Iterator[ClusterClient]:
    with ClusterClient(settings.but(lock_wait=0.2)) as made:
        yield made


@pytest.mark.usefixtures("pushed_only")
def test_the_end_of_the_owner_lets_the_next_in_at_once(
    cluster: ClusterClient,
    hand: Hand,
    threads: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lockstep.producer.client.client")
    owner = cluster.create_group("team-a")
    before = hand.keys()
    next_ = threads.submit(cluster.delete_group, "team-a")
    eventually(lambda: hand.subscribers(owner.id) == 1, "the second waits for the first")
    for host in hand.hosts[:-1]:  # the last one would have it decided
        hand.apply(owner, host)
    assert not next_.done()
    assert hand.keys() != before  # only the owner's own record has grown
    assert hand.redis.zcard(f"{hand.settings.key_prefix}operations") == 1

    hand.commit(owner)

    assert next_.result(PATIENCE).status().state == "applying"
    assert caplog.messages == [f'group "team-a" is held by operation "{owner.id}": waiting']


def test_a_lost_event_costs_a_moment_only(
    cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Events, "subscribe", lambda self: None)
    monkeypatch.setattr(events, "LOOK_AGAIN", 0.05)
    owner = cluster.create_group("team-a")
    next_ = threads.submit(cluster.create_group, "team-a")

    hand.roll_back(owner)

    assert next_.result(PATIENCE).id != owner.id


def test_a_group_that_stays_busy_is_given_up_and_its_owner_named(
    cluster: ClusterClient, hasty: ClusterClient, hand: Hand
) -> None:
    owner = cluster.create_group("team-a")
    before = hand.content()
    began = time.monotonic()

    with pytest.raises(GroupBusy) as caught:
        hasty.delete_group("team-a", operation_id="mine")

    assert 0.2 <= time.monotonic() - began < 5
    assert str(caught.value) == (
        f'group "team-a" is busy: operation "{owner.id}" still holds it after 0.2 s (LOCKSTEP_LOCK_WAIT); '
        "wait for it, then ask again"
    )
    assert hand.content() == before


def test_who_waits_in_vain_for_an_operation_with_waves_is_told_how_far_it_is(
    cluster: ClusterClient, hasty: ClusterClient, threads: ThreadPoolExecutor
) -> None:
    owner = cluster.create_group("team-a", waves="1,100%")
    with pytest.raises(GroupBusy, match=f'"{owner.id}" is in wave 1 of 2, working, and ends at .* earliest'):
        hasty.delete_group("team-a")
    waiting = threads.submit(cluster.delete_group, "team-a")
    owner.hold("node1 is slow")
    with pytest.raises(GroupBusy, match=r"held by .*: node1 is slow, and ends not before somebody promotes"):
        waiting.result(PATIENCE)


def test_waiting_is_not_busy(
    cluster: ClusterClient, hasty: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create_group("team-a")
    asked = 0
    accept = hasty._link.store.accept

    def counted(request: object) -> object:
        nonlocal asked
        asked += 1
        return accept(request)  # type: ignore[arg-type]

    monkeypatch.setattr(hasty._link.store, "accept", counted)
    with pytest.raises(GroupBusy):
        hasty.create_group("team-a")
    assert asked <= 3


@pytest.mark.usefixtures("pushed_only")
def test_progress_of_the_owner_is_no_reason_to_ask_again(
    cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = cluster.create_group("team-a")
    asked = 0
    accept = cluster._link.store.accept

    def counted(request: object) -> object:
        nonlocal asked
        asked += 1
        return accept(request)  # type: ignore[arg-type]

    monkeypatch.setattr(cluster._link.store, "accept", counted)
    next_ = threads.submit(cluster.create_group, "team-a")
    eventually(lambda: hand.subscribers(owner.id) == 1 and asked == 2, "the second waits")
    for host in hand.hosts[:-1]:  # the last one would have it decided
        hand.apply(owner, host)
    with pytest.raises(TimeoutError):
        next_.result(0.3)
    assert asked == 2
    hand.commit(owner)
    next_.result(PATIENCE)


def test_other_groups_are_not_held_up(cluster: ClusterClient, hasty: ClusterClient) -> None:
    cluster.create_group("team-a")
    assert hasty.create_group("team-b").published


def test_clients_that_wait_get_in_one_after_the_other(
    cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor
) -> None:
    waiting = [threads.submit(cluster.create_group, "team-a") for _ in range(4)]
    entered: list[str] = []
    while len(entered) < 4:
        eventually(
            lambda: len([each for each in waiting if each.done()]) == len(entered) + 1, "one is let in"
        )
        assert len([each for each in waiting if each.done()]) == len(entered) + 1
        (now,) = [each.result() for each in waiting if each.done() and each.result().id not in entered]
        entered.append(now.id)
        hand.roll_back(now)
    assert len(set(entered)) == 4
