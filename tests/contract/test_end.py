from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Action, HostName, OperationId
from tests.contract.bench import PREFIX, Bench, MemoryBench, RedisBench
from tests.contract.driver import GROUP, PRESENT, A, B, Driver

YEARS = 10**12
ENDED = {"op:one", "op:one:steps", "operations", "ended", "ends:g"}


@pytest.mark.parametrize("end", ["committed", "rolled back"])
def test_after_the_end_these_keys_are_left_and_no_others(create: Driver, end: str) -> None:
    create.store.postpone(create.id, A, 60_000)
    if end == "committed":
        create.apply(A, B).commit()
    else:
        create.undoing(A, B).undo(A, B)
    assert create.kept().ended
    assert create.bench.key_names() == ENDED


def test_after_forgetting_only_what_hosts_hold_is_left(create: Driver) -> None:
    create.apply(A, B).commit()
    create.bench.pass_time(1)
    assert create.store.forget(0, 0, 100) == 1
    assert create.bench.key_names() == {"ends:g", "dropped"}
    assert create.store.operation(create.id) is None
    assert create.store.operations(10) == ()
    assert create.bench.ends(GROUP) == {A: ("present", "one"), B: ("present", "one")}


def test_the_ends_of_a_commit_are_its_target(bench: Bench) -> None:
    Driver(bench, action=Action.DELETE).accepted().apply(A, B).commit()
    assert bench.ends(GROUP) == {A: ("absent", "one"), B: ("absent", "one")}


def test_the_ends_of_a_rollback_are_what_was_seen_before(create: Driver) -> None:
    create.begin(A, "a1", PRESENT)
    create.undoing(B).undo(B)
    assert create.bench.ends(GROUP) == {A: ("present", "one"), B: ("absent", "one")}


def test_a_host_that_was_never_seen_keeps_the_end_it_had(create: Driver) -> None:
    create.apply(A, B).commit()
    second = Driver(create.bench, "two", Action.DELETE).accepted().apply(A).roll_back().undo(A)
    assert second.kept().ended
    assert create.bench.ends(GROUP) == {A: ("present", "two"), B: ("present", "one")}


def test_more_ends_are_kept_than_one_command_takes(bench: Bench) -> None:
    hosts = tuple(HostName(f"h{n}") for n in range(510))
    many = Driver(bench).accepted(hosts)
    for host in hosts:
        many.begin(host, f"{host}1", PRESENT)
    many.commit()
    assert len(bench.ends(GROUP)) == 510


def test_nothing_is_forgotten_before_its_time_or_its_number(create: Driver) -> None:
    create.apply(A, B).commit()
    assert create.store.forget(YEARS, 1, 100) == 0
    assert create.kept().ended


def test_the_number_is_a_cap_however_young_they_are(bench: Bench) -> None:
    ended(bench, 5)
    assert bench.store.forget(YEARS, 2, 100) == 3
    assert names(bench) == ["o4", "o3"]
    assert bench.store.forget(YEARS, 1, 100) == 1, "one too many is too many"
    assert names(bench) == ["o4"]


def test_something_is_done_for_the_first_time_once_for_each_operation(bench: Bench) -> None:
    create = Driver(bench).accepted().apply(A, B).commit()
    store = bench.store
    assert [store.first(create.id, what) for what in ("counted", "counted", "undone")] == [True, False, True]
    assert not store.first(OperationId("nobody's"), "counted")
    assert bench.key_names() == ENDED, "the record itself remembers it"
    bench.pass_time(1)
    assert store.forget(0, 0, 100) == 1
    assert not store.first(create.id, "counted")
    assert bench.key_names() == {"ends:g", "dropped"}


def test_an_operation_that_has_not_ended_is_never_forgotten(create: Driver) -> None:
    create.bench.pass_time(2)
    assert create.store.forget(0, 0, 100) == 0
    create.undoing(A, B)
    assert create.store.forget(0, 0, 100) == 0
    assert create.kept().pending_hosts == (A, B)


def test_an_operation_that_was_dropped_is_told_from_one_that_redis_lost(bench: Bench) -> None:
    last = one_ended(bench, "last")
    assert bench.store.forget(0, 0, 100) == 1
    assert bench.store.note_lost(last.id, GROUP) is None
    assert bench.store.lost() == {}
    assert bench.store.note_lost(OperationId("lost"), GROUP) is not None
    last.accepted()  # the id is used again, and its record is not dropped but lost
    assert bench.store.note_lost(last.id, GROUP) is not None
    assert set(bench.store.lost()) == {last.id, OperationId("lost")}


def test_the_names_of_the_last_10_000_dropped_records_are_kept_for_a_day(redis_bench: RedisBench) -> None:
    client, dropped = redis_bench.client, f"{PREFIX}dropped"
    client.zadd(dropped, {f"earlier{n:05}": n for n in range(10_000)})
    one_ended(redis_bench, "last")
    assert redis_bench.store.forget(0, 0, 100) == 1
    assert (client.zcard(dropped), *client.zrange(dropped, 0, 0)) == (10_000, "earlier00001")
    assert client.zscore(dropped, "last") is not None
    assert 86_000_000 < client.pttl(dropped) <= 86_400_000


def test_the_oldest_are_forgotten_first_and_so_many_at_once(memory: MemoryBench) -> None:
    ended(memory, 5)
    assert memory.store.forget(YEARS, 3, 100) == 2
    assert names(memory) == ["o4", "o3", "o2"]
    assert memory.store.forget(0, 100, 2) == 2
    assert names(memory) == ["o4"]


def test_too_many_records_are_forgotten_on_redis_too(bench: Bench) -> None:
    ended(bench, 5)
    assert bench.store.forget(YEARS, 3, 100) == 2
    assert names(bench) == ["o4", "o3", "o2"]
    assert bench.store.forget(YEARS, 3, 100) == 0


def ended(bench: Bench, count: int) -> None:
    for n in range(count):
        one_ended(bench, f"o{n}")


def one_ended(bench: Bench, name: str) -> Driver:
    done = Driver(bench, name).accepted().apply(A, B).commit()
    bench.pass_time(2)
    return done


def names(bench: Bench) -> list[str]:
    return [each.id for each in bench.store.operations(100)]
