"""A record that somebody has damaged: scripts name what is wrong before they write anything."""

from __future__ import annotations

import json

import pytest

from lockstep.worker.operation.errors import RecordDamaged
from lockstep.worker.record.keys import Keys
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.contents import THING
from tests.contract.driver import A, Driver
from tests.contract.waves import TWO, accepted

KEYS = Keys(PREFIX)
NUMBERS = ("resumed", "patience", "deadline_at", "failed", "progress_at", "retries", "decided_at")
NAMED = dict.fromkeys(("group", "action"), "its field group or action is none")
OF_WAVES = ("wave", "waves", "deadline", "bake", "bake_until", "changed", "round", "hold_no", "released_no")
ATTEMPT = {"n": 1, "quiet": 1, "state": "open"}
STEPS: tuple[object, ...] = (
    *(7, "soon", [], {}, {"fingerprint": 7}, {"attempts": {}}),
    *({"fingerprint": "f", name: "soon"} for name in ("misses", "silent", "silent_at", "undo_misses")),
    *({"fingerprint": "f", "attempts": each} for each in ("soon", {"a": 7})),
    *(
        {"fingerprint": "f", "attempts": {"a": {**ATTEMPT, name: "soon"}}}
        for name in ("n", "quiet", "probed")
    ),
)


def stays_as_it_is(driver: Driver, bench: RedisBench, names: str) -> None:
    def kept() -> tuple[object, ...]:
        key = KEYS.operation(driver.id)
        sets = (bench.client.smembers(f"{key}:{name}") for name in ("todo", "undo", "open"))
        return (bench.client.hgetall(key), bench.client.hgetall(KEYS.steps(driver.id)), *sets)

    before = kept()
    with pytest.raises(RecordDamaged, match=names):
        driver.begin(A, "a1")
    assert kept() == before


@pytest.mark.parametrize("field", [*NUMBERS, "action", "format"])
def test_a_field_that_is_something_else_is_named(redis_bench: RedisBench, field: str) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.client.hset(KEYS.operation(create.id), field, "soon")
    stays_as_it_is(create, redis_bench, NAMED.get(field, f"its field {field} is no number"))


@pytest.mark.parametrize("field", ["failed", "progress_at", "resumed", "patience", "retries"])
def test_a_field_that_scripts_alone_need_is_named_to_who_reads_the_operation(
    redis_bench: RedisBench, field: str
) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.client.hset(KEYS.operation(create.id), field, "soon")
    with pytest.raises(RecordDamaged, match=f"its field {field} is"):
        redis_bench.store.operation(create.id)


@pytest.mark.parametrize("field", ["resumed", "patience", "deadline_at", "failed", "progress_at", "group"])
def test_a_field_that_is_missing_is_named(redis_bench: RedisBench, field: str) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.client.hdel(KEYS.operation(create.id), field)
    stays_as_it_is(create, redis_bench, NAMED.get(field, f"its field {field} is no number"))


@pytest.mark.parametrize("field", [*OF_WAVES, "hold_most", "opened"])
def test_a_damaged_field_of_an_operation_with_waves_is_named(redis_bench: RedisBench, field: str) -> None:
    canary = accepted(redis_bench, TWO)
    redis_bench.client.hset(KEYS.operation(canary.id), field, "soon")
    stays_as_it_is(canary, redis_bench, f"its field {field} is no number")
    redis_bench.client.hdel(KEYS.operation(canary.id), "stage")
    stays_as_it_is(canary, redis_bench, f"its field {field} is no number")


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_that_is_none_is_named(redis_bench: RedisBench, step: object) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.client.hset(KEYS.steps(create.id), A, json.dumps(step))
    stays_as_it_is(create, redis_bench, "the step of a")


def test_an_end_of_a_thing_that_cannot_be_read_is_left_out(redis_bench: RedisBench) -> None:
    redis_bench.client.hset(
        KEYS.left(THING),
        mapping={
            "short": "d one 7",
            "long": "d one 7 url form more",
            "soon": "d one soon url",
            "plain": "d one 7 url",
            "learned": "d one 8 url form",
        },
    )
    found = redis_bench.store.contents_left(THING)
    told = {host: (each.at, each.form_of) for host, each in found.items()}
    assert told == {"plain": (7, None), "learned": (8, "form")}
