from __future__ import annotations

from dataclasses import replace

import pytest
from redis.client import Pipeline

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Presence, Seen
from lockstep.worker.operation.transitions import Accepted
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.redis import RedisStore
from tests.contract.bench import LIMITS, PREFIX, UNIT, Bench, RedisBench
from tests.contract.driver import ABSENT, GROUP, PRESENT, A, B, Driver

QUIET = LIMITS.send_within + LIMITS.call + 1
OTHER = GroupId("other")


def give_up(driver: Driver, host: HostName = A) -> Driver:
    """Roll back a create or delete whose write to the host was never answered, until it is settled."""
    driver.begin(host, f"{host}1")
    driver.roll_back()
    shown = ABSENT if driver.action is Action.CREATE else PRESENT
    settle(driver, host, shown)
    assert driver.look(host, shown).restored
    assert driver.kept().ended
    return driver


def settle(driver: Driver, host: HostName, shown: Seen) -> None:
    driver.bench.pass_time(QUIET)
    driver.look(host, shown)
    driver.bench.pass_time(LIMITS.settle)
    driver.look(host, shown)


def drift(host: HostName = A, group: GroupId = GROUP, *, explained: bool = True) -> Drift:
    end = End(Presence.ABSENT, OperationId("one"), Millis(5), "url")
    return Drift(group, host, end, Presence.PRESENT, Millis(7), explained)


@pytest.mark.parametrize(("action", "brings"), [(Action.CREATE, "present"), (Action.DELETE, "absent")])
def test_a_settled_write_may_still_bring_what_it_asked_for(bench: Bench, action: Action, brings: str) -> None:
    before = bench.now()
    give_up(Driver(bench, action=action).accepted())
    assert bench.patrol() == {("g", "a", brings)}
    found = bench.store.suspicions(GROUP)
    assert set(found) == {(A, Presence(brings))}
    assert before <= found[A, Presence(brings)] <= bench.now()
    assert bench.store.suspicions(OTHER) == {}


@pytest.mark.parametrize(("action", "brings"), [(Action.CREATE, "absent"), (Action.DELETE, "present")])
def test_a_settled_undo_may_still_bring_its_inverse(bench: Bench, action: Action, brings: str) -> None:
    driver = Driver(bench, action=action).accepted().apply(A).roll_back()
    driver.begin_undo(A, "u1")
    driver.finish_undo(A, "u1", Effect.UNKNOWN)
    settle(driver, A, ABSENT if action is Action.CREATE else PRESENT)
    assert bench.patrol() == {("g", "a", brings)}


def test_a_write_that_was_answered_is_not_suspected(create: Driver) -> None:
    create.undoing(A, B).undo(A, B)
    assert create.bench.patrol() == set()
    assert create.store.patrol_due(10) == ()


def test_an_abandoned_write_is_suspected_and_an_abandoned_host_alone_is_not(create: Driver) -> None:
    create.apply(B)
    create.begin(A, "a1")
    create.roll_back()
    create.store.abandon(create.id, B, "gone (ann)")
    assert create.bench.patrol() == set()
    assert create.step(A).abandoned_at is None
    before = create.bench.now()
    create.store.abandon(create.id, A, "gone (ann)")
    assert create.bench.patrol() == {("g", "a", "present")}
    at = create.step(A).abandoned_at
    assert at is not None
    assert before <= at <= create.bench.now()


def test_a_suspected_group_is_due_at_once_and_then_as_told(create: Driver) -> None:
    give_up(create)
    store, bench = create.store, create.bench
    assert store.patrol_due(10) == (GROUP,)
    store.patrol_again(GROUP, Millis(bench.now() + 60_000), bench.now())
    assert store.patrol_due(10) == ()
    again = Driver(bench, "two").accepted()
    give_up(again)
    assert store.patrol_due(10) == (GROUP,), "another write of unknown fate brings it forward"
    store.patrol_again(GROUP, Millis(bench.now() + 5), bench.now())
    bench.pass_time(6)
    assert store.patrol_due(10) == (GROUP,)


def test_the_longest_overdue_is_looked_at_first(bench: Bench) -> None:
    for name, group in (("one", "x"), ("two", "y"), ("three", "z")):
        driver = Driver(bench, name)
        bench.store.accept(driver.request(group=GroupId(group)))
        give_up(driver)
        bench.pass_time(2)
    assert bench.store.patrol_due(10) == ("x", "y", "z")
    assert bench.store.patrol_due(2) == ("x", "y")
    bench.store.patrol_again(GroupId("x"), bench.now(), bench.now())
    assert bench.store.patrol_due(10) == ("y", "z", "x")


def test_a_group_that_nobody_suspects_is_not_put_on_the_list(create: Driver) -> None:
    create.apply(A, B).commit()
    create.store.patrol_again(GROUP, create.bench.now(), create.bench.now())
    assert create.store.patrol_due(10) == ()


def test_a_group_that_is_taken_off_the_list_leaves_nothing_there(create: Driver) -> None:
    give_up(create)
    (seen,) = create.store.suspicions(GROUP).values()
    create.store.patrol_again(GROUP, None, seen)
    assert create.store.patrol_due(10) == ()
    assert create.store.suspicions(GROUP) == {}
    assert {"patrol", "suspects:g"} & create.bench.key_names() == set()


@pytest.mark.parametrize("later", [None, 60_000])
def test_what_became_suspect_meanwhile_is_looked_at_at_once(create: Driver, later: int | None) -> None:
    give_up(create)
    read = max(create.store.suspicions(GROUP).values())
    create.bench.pass_time(2)
    give_up(Driver(create.bench, "two").accepted(), B)
    at = None if later is None else Millis(create.bench.now() + later)
    create.store.patrol_again(GROUP, at, read)
    assert create.store.patrol_due(10) == (GROUP,)
    assert set(create.store.suspicions(GROUP)) == {(A, Presence.PRESENT), (B, Presence.PRESENT)}


def test_what_becomes_suspect_while_a_group_is_taken_off_the_list_is_kept(
    redis_bench: RedisBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, keys, read = redis_bench.client, Keys(PREFIX), Pipeline.hgetall
    client.hset(keys.suspects(GROUP), "a absent", 1_000)
    client.zadd(keys.patrol, {GROUP: 1})

    def slow(pipe: Pipeline, name: str) -> object:
        found = read(pipe, name)
        client.hsetnx(name, "b absent", "2000")
        return found

    monkeypatch.setattr(Pipeline, "hgetall", slow)
    redis_bench.store.patrol_again(GROUP, None, Millis(1_000))
    assert client.hlen(keys.suspects(GROUP)) == 2
    assert client.zscore(keys.patrol, GROUP) is not None


@pytest.mark.parametrize(("patience", "aged"), [(10, False), (60_000, True)])
def test_what_is_suspected_does_not_age_while_an_operation_keeps_the_patrol_away(
    bench: Bench, patience: int, aged: bool
) -> None:
    give_up(Driver(bench).accepted())
    bench.pass_time(30)
    before = bench.now() - bench.store.suspicions(GROUP)[A, Presence.PRESENT]
    later = Driver(bench, "two")
    later.store = bench.limited(sweep_patience=patience)
    later.accepted().apply(A)
    passed = max(200, 30 * UNIT)
    bench.pass_time(passed)
    later.apply(B).commit()
    age = bench.now() - bench.store.suspicions(GROUP)[A, Presence.PRESENT]
    assert (age >= before + passed) is aged


def test_a_first_operation_still_at_work_is_suspected_already(create: Driver) -> None:
    create.apply(B)
    create.begin(A, "a1")
    create.roll_back()
    settle(create, A, ABSENT)
    assert create.store.ends(GROUP) == {}
    assert set(create.store.suspicions(GROUP)) == {(A, Presence.PRESENT)}


def test_a_new_end_takes_known_drift_off_the_hosts_that_it_covers(bench: Bench) -> None:
    create = Driver(bench)
    create.store.keep_drift(GROUP, {}, {A: drift(), B: drift(B)})
    create.store.keep_drift(OTHER, {}, {A: drift(group=OTHER)})
    create.accepted().apply(A)
    assert len(create.store.drifts()) == 3
    create.apply(B).commit()
    assert create.store.drifts() == [drift(group=OTHER)]


def test_a_host_that_an_end_does_not_cover_keeps_its_drift(bench: Bench) -> None:
    create = Driver(bench)
    create.store.keep_drift(GROUP, {}, {A: drift(), B: drift(B)})
    create.accepted().apply(A).roll_back().undo(A)
    assert create.store.drifts() == [drift(B)]


def test_what_was_seen_while_an_operation_was_at_work_is_not_kept(bench: Bench) -> None:
    store = bench.store
    create = Driver(bench).accepted().apply(A, B).commit()
    ends = store.ends(GROUP)
    seen = {A: replace(drift(), end=ends[A])}
    bench.pass_time(2)

    delete = Driver(bench, "two", Action.DELETE).accepted((B,))
    assert store.keep_drift(GROUP, ends, seen) is None, "it is at work, and has left nothing yet"
    delete.apply(B).commit()
    assert store.keep_drift(GROUP, ends, seen) is None, "it has ended, though on another host"
    assert store.drifts() == []

    now = store.ends(GROUP)
    assert store.keep_drift(GROUP, now, seen) == [seen[A]]
    assert store.keep_drift(GROUP, {B: now[B]}, {A: None}) is None, "the look knew nothing of a"
    assert store.keep_drift(GROUP, {A: now[A]}, {A: None}) is None, "nor of b, where the group was deleted"
    assert store.keep_drift(GROUP, {}, {A: None}) is None
    assert store.keep_drift(GROUP, {**now, HostName("c"): now[B]}, {A: None}) is None
    assert store.drifts() == [seen[A]], "a refusal takes nothing away either"
    assert create.kept().ended


def test_drift_is_new_once_and_kept_until_it_has_gone(bench: Bench) -> None:
    store = bench.store
    assert store.drifts() == []
    assert store.keep_drift(GROUP, {}, {A: drift(), B: None}) == [drift()]
    assert store.keep_drift(GROUP, {}, {A: drift(), B: drift(B, explained=False)}) == [
        drift(B, explained=False)
    ]
    assert store.drifts() == [drift(), drift(B, explained=False)]
    assert store.keep_drift(OTHER, {}, {A: drift(group=OTHER)}) == [drift(group=OTHER)]
    assert store.keep_drift(GROUP, {}, {A: None}) == []
    assert store.drifts() == [drift(B, explained=False), drift(group=OTHER)]
    assert store.keep_drift(GROUP, {}, {A: drift()}) == [drift()], "it came back: new again"
    newer = replace(drift(), end=replace(drift().end, operation=OperationId("two")))
    assert store.keep_drift(GROUP, {}, {A: newer}) == [newer], "it differs from another end: new again"
    assert newer in store.drifts()


def test_a_resumed_operation_that_moves_again_is_soon_looked_at(bench: Bench) -> None:
    patience = 20
    create = Driver(bench)
    create.store = bench.limited(sweep_patience=patience)
    assert create.accept() is Accepted.ACCEPTED
    for resumed in range(5):
        bench.pass_time(patience * 2**resumed + 1)
        assert create.claim(resume=True) == (A, B)
    assert not create.due(), "patience has doubled five times"
    create.missed(A, "p1")
    bench.pass_time(patience + 1)
    assert create.due()


def test_how_late_the_patrol_is(redis_bench: RedisBench) -> None:
    store = redis_bench.store
    assert isinstance(store, RedisStore)
    assert store.patrol_overdue() == (0, 0)
    give_up(Driver(redis_bench).accepted())
    redis_bench.pass_time(20)
    number, lag = store.patrol_overdue()
    assert number == 1
    assert 20 <= lag < 60_000
    store.patrol_again(GROUP, Millis(redis_bench.now() + 60_000), redis_bench.now())
    assert store.patrol_overdue() == (0, 0)
