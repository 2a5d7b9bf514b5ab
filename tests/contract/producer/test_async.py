"""Waiting and watching in asyncio: the same answers, and the loop never blocks."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterable, Callable
from functools import partial

import pytest

from lockstep import ClusterClient, Operation, State, Status, WaitTimeout
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.connection import impatient_client
from lockstep.worker.record import link
from lockstep.worker.settings import Settings
from tests.contract.producer.hand import Hand
from tests.waits import PATIENCE, eventually


async def until(holds: object, what: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < ends, f"not within {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.005)


TURN = 0.005


async def longest_pause(stop: asyncio.Event) -> float:
    """Seconds for which the loop ran nothing else while another thread went on, at worst."""
    turns, over = [0], threading.Event()

    def go_on() -> None:  # not where the whole machine stands still
        while not over.wait(TURN):
            turns[0] += 1

    another = threading.Thread(target=go_on)
    another.start()
    worst = 0
    while not stop.is_set():
        began = turns[0]
        await asyncio.sleep(TURN)
        worst = max(worst, turns[0] - began)
    over.set()
    another.join()
    return worst * TURN


@pytest.mark.usefixtures("pushed_only")
def test_an_operation_can_be_awaited(cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-a")

    async def scenario() -> None:
        async def result() -> object:
            return await operation

        waiting = asyncio.create_task(result())
        await until(lambda: hand.subscribers(operation.id) == 1, "the caller waits for events")
        hand.commit(operation)
        assert (await asyncio.wait_for(waiting, PATIENCE)) == operation.wait(0)

    asyncio.run(scenario())
    eventually(lambda: hand.subscribers(operation.id) == 0, "the subscription is gone")


def test_many_can_be_awaited_at_once(cluster: ClusterClient, hand: Hand) -> None:
    operations = [cluster.create_group(f"team-{n}") for n in range(20)]

    async def scenario() -> list[State]:
        async def state(number: int) -> State:
            return (await operations[number]).state

        waiting = [asyncio.create_task(state(n)) for n in range(20)]
        for operation in operations:
            await until(lambda operation=operation: hand.subscribers(operation.id) == 1, "all wait")
        for operation in operations[::2]:
            hand.commit(operation)
        for operation in operations[1::2]:
            hand.roll_back(operation)
        return await asyncio.gather(*waiting)

    assert asyncio.run(scenario()) == [State.COMMITTED, State.ROLLED_BACK] * 10


@pytest.mark.parametrize("changes_of", [lambda operation: operation, lambda operation: operation.watch()])
def test_watching_tells_each_change_until_the_end(
    cluster: ClusterClient, hand: Hand, changes_of: Callable[[Operation], AsyncIterable[Status]]
) -> None:
    operation = cluster.create_group("team-a")
    told: list[Status] = []

    async def watch() -> None:
        async for status in changes_of(operation):
            told.append(status)

    async def scenario() -> None:
        watching = asyncio.create_task(watch())
        for done, host in enumerate(hand.hosts, 1):
            hand.apply(operation, host)
            await until(lambda done=done: told and told[-1].hosts_done == done, "a host is told of")
        hand.commit(operation)
        await asyncio.wait_for(watching, PATIENCE)

    asyncio.run(scenario())
    assert (told[-1].state, told[-1].ended) == (State.COMMITTED, True)
    assert len(told) == len(set(told))


def test_leaving_a_watch_closes_its_connection(cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-a")

    async def scenario() -> None:
        changes = operation.watch_async()
        assert (await anext(changes)).state is State.APPLYING
        assert hand.subscribers(operation.id) == 1
        await changes.aclose()  # type: ignore[attr-defined]
        await until(lambda: hand.subscribers(operation.id) == 0, "the subscription is gone")

    asyncio.run(scenario())


def test_a_timeout_names_the_operation(cluster: ClusterClient) -> None:
    operation = cluster.create_group("team-a")
    with pytest.raises(WaitTimeout, match=f'^operation "{operation.id}" is applying after 0.1 s'):
        asyncio.run(operation.wait_async(0.1))
    with pytest.raises(WaitTimeout):
        asyncio.run(operation.wait_end_async(0))


def test_a_wait_can_be_cancelled(cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-a")

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await operation
        await until(lambda: hand.subscribers(operation.id) == 0, "the subscription is gone")

    asyncio.run(scenario())


def test_the_loop_goes_on_through_a_loss_of_redis(own_redis: RedisServer, settings: Settings) -> None:
    settings = settings.at(own_redis.url)
    with ClusterClient(settings) as cluster:
        operation = cluster.create_group("team-a")
        hand = Hand(settings)
        seen: list[Status | None] = []

        async def scenario() -> float:
            stop = asyncio.Event()
            pause = asyncio.create_task(longest_pause(stop))
            waiting = asyncio.create_task(operation.wait_async(PATIENCE, seen.append))
            await until(lambda: len(seen) == 1, "the first reading")
            await asyncio.to_thread(own_redis.kill)
            await until(lambda: None in seen, "the caller is told that Redis does not answer")
            await asyncio.to_thread(own_redis.start)
            await asyncio.to_thread(hand.commit, operation)
            assert (await asyncio.wait_for(waiting, PATIENCE)).committed
            stop.set()
            return await pause

        assert asyncio.run(scenario()) < 1.0
        hand.close()


def test_many_waits_at_a_frozen_redis_end_in_time_and_hold_up_nobody_else(
    own_redis: RedisServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading ends once the test would have failed."""
    patient = partial(impatient_client, seconds=2 * PATIENCE)
    monkeypatch.setattr(link, "impatient_client", lambda settings, *_: patient(settings))
    with ClusterClient(settings.at(own_redis.url).but(redis_timeout=2 * PATIENCE)) as cluster:
        operation = cluster.create_group("team-a")

        async def wait() -> None:
            with pytest.raises(WaitTimeout):
                await operation.wait_async(3)

        async def scenario() -> tuple[float, float]:
            began = time.monotonic()
            waits = [asyncio.create_task(wait()) for _ in range(60)]
            await until(lambda: any("reader" in each.name for each in threading.enumerate()), "they read")
            asked = time.monotonic()
            await asyncio.to_thread(int)
            others = time.monotonic() - asked
            await asyncio.gather(*waits)
            return time.monotonic() - began, others

        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            whole, others = asyncio.run(scenario())
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
    assert others < 2, "asyncio's own threads are other people's"
    assert whole < 15, "60 waits of 3 s"
