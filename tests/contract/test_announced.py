"""Every transition tells those who wait: what happened, and on which hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.record.redis import RedisStore
from tests.contract.bench import PREFIX, SETTLED, RedisBench
from tests.contract.contents import FOREIGN, Thing
from tests.contract.driver import PRESENT, A, B, Driver
from tests.contract.test_gathered import Gate
from tests.contract.waves import TWO, accepted, gate, rollout
from tests.waits import PATIENCE, eventually

Heard = Callable[[], list[tuple[str, tuple[str, ...]]]]


@pytest.fixture
def heard(redis_bench: RedisBench) -> Iterator[Heard]:
    """What was announced since it was asked for the last time."""
    with redis_bench.client.pubsub() as following:  # type: ignore[no-untyped-call]
        following.psubscribe(f"{PREFIX}events:*")
        eventually(lambda: following.get_message(timeout=1), "we are subscribed")

        def told() -> list[tuple[str, tuple[str, ...]]]:
            redis_bench.client.publish(f"{PREFIX}events:end", "{}")
            found: list[tuple[str, tuple[str, ...]]] = []
            while (message := following.get_message(timeout=PATIENCE)) and message["data"] != "{}":
                event = json.loads(message["data"])
                hosts = event.get("hosts") or ([event["host"]] if "host" in event else [])
                found.append((event["what"], tuple(hosts)))
            return found

        yield told


def test_a_create_from_its_first_look_to_its_end(redis_bench: RedisBench, heard: Heard) -> None:
    create = Driver(redis_bench).accepted()
    heard()
    create.missed(A, "p1")
    assert heard() == [("miss", (A,))]
    create.begin(A, "a1")
    assert heard() == [("attempt", (A,))]
    create.finish(A, "a1", Effect.UNKNOWN)
    assert heard() == [("answer", (A,))]
    create.store.postpone(create.id, A, 5)
    assert heard() == [("waits", (A,))]
    create.begin(A, "a2", PRESENT)
    assert heard() == [("step", (A,))]
    create.begin(B, "b1", PRESENT)
    assert heard() == [("step", (B,)), ("decided", ())]
    for _ in range(2):
        redis_bench.pass_time(SETTLED)
        create.look(A, PRESENT)
    assert heard() == [("look", (A,)), ("look", (A,)), ("ended", ())]


def test_what_two_hosts_did_in_one_run_is_told_together(redis_bench: RedisBench, heard: Heard) -> None:
    create = Driver(redis_bench).accepted()
    assert isinstance(create.store, RedisStore)
    heard()
    both = [partial(create.begin, host, f"{host}1") for host in (A, B)]
    Gate(create.store).together(both, lambda: create.store.view(create.id, A))
    assert heard() == [("attempt", (A, B))]


def test_a_rollback_is_announced_step_by_step(redis_bench: RedisBench, heard: Heard) -> None:
    create = Driver(redis_bench).accepted()
    for host in (A, B):
        create.begin(host, f"{host}1")
    heard()
    create.roll_back()
    assert heard() == [("decided", ())]
    create.finish(A, "a1", Effect.APPLIED)
    create.begin_undo(A, "undo")
    create.finish_undo(A, "undo", Effect.APPLIED)
    assert heard() == [("answer", (A,)), ("attempt", (A,)), ("answer", (A,))]
    create.store.abandon(create.id, B, "gone")
    assert heard() == [("abandoned", (B,)), ("ended", ())]


def test_a_host_that_is_given_up_is_a_step_that_is_over(redis_bench: RedisBench, heard: Heard) -> None:
    create = Driver(redis_bench)
    create.retries = 0
    create.accepted()
    heard()
    create.missed(A, "p1")
    assert heard() == [("step", (A,)), ("decided", ()), ("ended", ())]
    spent = Driver(redis_bench, "two")
    spent.retries = 0
    spent.accepted().begin(A, "a1")
    spent.finish(A, "a1", Effect.UNKNOWN)
    heard()
    spent.begin(A, "a2")
    assert heard() == [("step", (A,)), ("decided", ())]


def test_waves_holds_and_the_gate(redis_bench: RedisBench, heard: Heard) -> None:
    create = accepted(redis_bench, replace(TWO, gate=True))
    create.store.hold(create.id, "me", "why")
    assert heard() == [("held", ())]
    create.apply(A)
    assert ("gate", ()) in heard()
    gate(create, A, "look")
    assert heard() == [("gate", (A,))]
    assert rollout(create).hold
    create.store.promote(create.id, 1)
    assert heard()[0] == ("released", ())
    gate(create, A, "again")
    assert heard() == [("gate", (A,)), ("wave", ())]
    assert rollout(create).wave == 2


def test_what_a_person_has_written_over(redis_bench: RedisBench, heard: Heard) -> None:
    thing = Thing(redis_bench).accepted(A).written(A).roll_back()
    heard()
    thing.restore(A, FOREIGN)
    assert heard() == [("look", (A,))]
    thing.store.resolve(thing.id, A, "alice")
    assert heard() == [("waits", (A,))]
    thing.restore(A, FOREIGN)
    assert heard() == [("attempt", (A,)), ("look", (A,))]
