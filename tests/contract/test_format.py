"""A record that a newer version wrote is left as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import UnknownFormat
from lockstep.worker.operation.model import Presence
from lockstep.worker.record.damage import noted
from tests.contract.bench import RedisBench
from tests.contract.driver import A, Driver

TRANSITIONS: dict[str, Callable[[Driver], object]] = {
    "accept": lambda one: one.accept(),
    "begin": lambda one: one.begin(A, "a2"),
    "missed": lambda one: one.missed(A, "p"),
    "finish": lambda one: one.finish(A, "a1", Effect.APPLIED),
    "cancel": lambda one: one.store.cancel(one.id, "why"),
    "begin_undo": lambda one: one.begin_undo(A, "u1"),
    "finish_undo": lambda one: one.finish_undo(A, "a1", Effect.APPLIED),
    "settle": lambda one: one.store.settle(one.id, A, one.bench.now(), 0, Presence.ABSENT),
    "postpone": lambda one: one.store.postpone(one.id, A, 10),
    "abandon": lambda one: one.store.abandon(one.id, A, "why"),
    "claim": lambda one: one.store.claim(one.id, resume=True),
    "view": lambda one: one.store.view(one.id, A),
}

NEWER = "4"


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_newer_record_is_not_touched(create: Driver, name: str) -> None:
    create.begin(A, "a1")
    keys, steps = create.bench.key_names(), create.store.steps(create.id)
    create.bench.set_format(create.id, NEWER)
    with pytest.raises(UnknownFormat, match=NEWER):
        TRANSITIONS[name](create)
    create.bench.set_format(create.id, "1")
    assert create.bench.key_names() == keys
    assert create.store.steps(create.id) == steps
    assert create.kept().decision is None


@pytest.mark.parametrize("name", ["operation", "with_steps", "steps", "order"])
def test_a_newer_record_is_not_read(redis_bench: RedisBench, name: str) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.set_format(create.id, NEWER)
    with pytest.raises(UnknownFormat, match=NEWER):
        getattr(redis_bench.store, name)(create.id)
    with noted() as found:
        assert redis_bench.store.readable(create.id) is None
    assert not found, "it is not damaged"


def test_no_newer_record_is_forgotten(create: Driver) -> None:
    create.roll_back()
    create.bench.pass_time(1)
    create.bench.set_format(create.id, NEWER)
    assert create.store.forget(0, 0, 10) == 0
    create.bench.set_format(create.id, "1")
    assert create.kept().ended
