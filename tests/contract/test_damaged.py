"""A record that somebody has damaged: scripts name what is wrong before they write anything."""

from __future__ import annotations

import json

import pytest

from lockstep.worker.operation.errors import RecordDamaged
from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.codec import moments_from
from lockstep.worker.record.damage import Damage, note, noted
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link
from tests.contract.bench import PREFIX, RedisBench
from tests.contract.contents import THING
from tests.contract.driver import GROUP, A, B, Driver
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
    with pytest.raises(RecordDamaged, match=f"^{names}"):
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
    with noted() as found:
        assert redis_bench.store.readable(create.id) is None
    assert [(each.kind, each.field) for each in found] == [("operation", create.id)]


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


@pytest.mark.parametrize(
    ("field", "text"),
    [("at:soon:1", "7"), ("at:wave:two", "7"), ("at:wave", "7"), ("at:wave:1", "soon"), ("at:wave:1", "")],
)
def test_a_moment_that_is_none_is_named(field: str, text: str) -> None:
    with pytest.raises(RecordDamaged, match=f"its field .{field}. is .{text}., which is no moment"):
        moments_from({field: text})


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_that_is_none_is_named(redis_bench: RedisBench, step: object) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.client.hset(KEYS.steps(create.id), A, json.dumps(step))
    stays_as_it_is(create, redis_bench, "the step of a")


def test_a_record_that_cannot_be_read_is_in_the_way_of_no_other_that_is_dropped(
    redis_bench: RedisBench,
) -> None:
    for name in ("damaged", "other"):
        Driver(redis_bench, name).accepted().apply(A, B).commit()
        redis_bench.pass_time(2)
    redis_bench.client.hset(KEYS.operation(OperationId("damaged")), "format", "soon")
    with noted() as found:
        assert [redis_bench.store.forget(0, 0, 1) for _ in range(2)] == [0, 1]
    assert [each.field for each in found] == ["damaged"]
    assert redis_bench.store.exists(OperationId("damaged"))


@pytest.mark.parametrize(
    ("kind", "where", "remedy"),
    [
        ("operation", "", "docs/operations.md#a-damaged-record"),
        ("step", " in t:ends:g", "docs/operations.md#a-damaged-record"),
        ("pause", " in t:ends:g", "lockstep resume a, and pause it again"),
        ("last end", " in t:ends:g", "lockstep create g, or delete: whichever is wanted"),
        ("drift", " in t:ends:g", "valkey-cli hdel t:ends:g a"),
    ],
)
def test_what_is_damaged_is_gathered_for_who_asks_for_that_and_else_logged_once(
    kind: str, where: str, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage = Damage(kind, "t:ends:g", "a", "why")
    with noted() as found:
        note(damage)
        note(damage)
    assert (list(found), caplog.messages) == ([damage], [])
    note(damage)
    note(damage)
    assert caplog.messages == [f"the {kind} a{where} cannot be read, and is left as it is: why -> {remedy}"]


def test_whatever_is_damaged_of_hosts_workers_and_groups_is_noted(
    redis_bench: RedisBench, link: Link
) -> None:
    kept = {
        KEYS.drift: "drift",
        KEYS.lost: "lost record",
        KEYS.paused: "pause",
        KEYS.spared: "silence",
        KEYS.clocks: "report",
        KEYS.stalled: "stall",
        KEYS.ends(GROUP): "last end",
        KEYS.suspects(GROUP): "suspicion",
    }
    for key in kept:
        redis_bench.client.hset(key, "damaged", "no JSON")
    with noted() as found:
        link.look_for_damage([GROUP])
    assert {each.key: each.kind for each in found} == kept


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
    with noted() as damaged:
        found = redis_bench.store.contents_left(THING)
    assert {(each.kind, each.key, each.field) for each in damaged} == {
        ("last end", KEYS.left(THING), host) for host in ("short", "long", "soon")
    }
    told = {host: (each.at, each.form_of) for host, each in found.items()}
    assert told == {"plain": (7, None), "learned": (8, "form")}
