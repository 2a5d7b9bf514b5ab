from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.drift import End
from lockstep.worker.operation.errors import OperationIdReused
from lockstep.worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Presence
from lockstep.worker.operation.transitions import Accepted, Busy
from tests.contract.bench import Bench
from tests.contract.driver import GROUP, PRESENT, A, B, Driver


@pytest.fixture
def ended(create: Driver) -> Driver:
    """A committed create, whose hosts may drift."""
    create.apply(A, B).commit()
    create.bench.pass_time(2)
    return create


def texts(driver: Driver, *hosts: HostName) -> dict[HostName, str]:
    """What the ends of these hosts say now."""
    ends = driver.store.ends(GROUP)
    return {host: ends[host].text for host in hosts}


def repair(driver: Driver, repairs: dict[HostName, str], name: str = "mend") -> Accepted | Busy:
    """Ask for a create on the hosts whose ends must still say so."""
    mend = Driver(driver.bench, name)
    return driver.store.accept(replace(mend.request(tuple(repairs)), repairs=repairs))


def test_a_repair_is_an_operation_like_any_other(ended: Driver) -> None:
    assert repair(ended, texts(ended, A)) is Accepted.ACCEPTED
    mend = Driver(ended.bench, "mend")
    assert mend.kept().hosts_total == 1
    assert ended.store.lock_owner(GROUP) == "mend"
    mend.apply(A).commit()
    left = ended.store.ends(GROUP)
    assert {host: end.operation for host, end in left.items()} == {A: "mend", B: "one"}
    assert ended.store.lock_owner(GROUP) is None


def test_the_same_repair_again_is_the_same_operation(ended: Driver) -> None:
    seen = texts(ended, A)
    repair(ended, seen)
    assert repair(ended, seen) is Accepted.EXISTING
    Driver(ended.bench, "mend").apply(A).commit()
    assert repair(ended, seen) is Accepted.EXISTING, "although the ends say something else by now"
    with pytest.raises(OperationIdReused):
        repair(ended, texts(ended, B))


def test_a_newer_end_on_any_of_its_hosts_makes_a_repair_stale(ended: Driver) -> None:
    seen = texts(ended, A, B)
    Driver(ended.bench, "two", Action.DELETE).accepted((B,)).apply(B).commit()
    keys = ended.bench.key_names()
    assert repair(ended, seen) is Accepted.STALE
    assert ended.bench.key_names() == keys, "a refusal stores nothing"
    assert ended.store.lock_owner(GROUP) is None
    assert repair(ended, {A: seen[A]}, "other") is Accepted.ACCEPTED, "the end of a is as it was seen"


def test_an_end_that_says_the_same_again_is_a_newer_one(ended: Driver) -> None:
    seen = texts(ended, A)
    Driver(ended.bench, "two", Action.DELETE).accepted().undoing(A, B).undo(A, B)
    assert ended.store.ends(GROUP)[A].presence is Presence.PRESENT
    assert repair(ended, seen) is Accepted.STALE


def test_a_host_without_an_end_cannot_be_repaired(ended: Driver) -> None:
    assert repair(ended, {HostName("c"): "present one 5 url-of-c"}) is Accepted.STALE


def test_a_group_at_work_is_busy_whatever_the_ends_say(ended: Driver) -> None:
    seen = texts(ended, A)
    Driver(ended.bench, "two").accepted()
    assert repair(ended, seen) == Busy(OperationId("two"))


def test_a_repair_that_was_rolled_back_leaves_the_ends_as_they_were(ended: Driver) -> None:
    kept = ended.store.ends(GROUP)
    repair(ended, texts(ended, A, B))
    mend = Driver(ended.bench, "mend").apply(A)
    mend.begin(B, "b1")
    mend.finish(B, "b1", Effect.REFUSED)
    mend.undo(A)
    mend.begin_undo(B, "b2")
    assert mend.finish_undo(B, "b2", Effect.ALREADY)
    assert mend.kept().ended
    assert ended.store.ends(GROUP) == kept


def test_any_other_operation_that_was_rolled_back_is_the_new_measure(ended: Driver) -> None:
    Driver(ended.bench, "two", Action.DELETE).accepted().apply(A).roll_back().undo(A)
    assert ended.store.ends(GROUP)[A].operation == "two"


def test_ends_tell_what_was_left_by_whom_and_when(bench: Bench) -> None:
    assert bench.store.ends(GROUP) == {}
    create = Driver(bench).accepted()
    create.begin(A, "a1", PRESENT)
    create.undoing(B)
    assert bench.store.ends(GROUP) == {}, "it has not ended"
    create.undo(B)
    at = create.kept().ended_at
    assert at is not None
    assert bench.store.ends(GROUP) == {
        A: End(Presence.PRESENT, create.id, at, "url-of-a"),
        B: End(Presence.ABSENT, create.id, at, "url-of-b"),
    }
    assert bench.store.ends(GroupId("h")) == {}


def test_every_group_with_an_end_is_named_once(bench: Bench) -> None:
    assert list(bench.store.groups_with_ends()) == []
    for name, group in (("one", "g"), ("two", "g"), ("three", "g:x"), ("four", "other")):
        driver = Driver(bench, name)
        bench.store.accept(driver.request(group=GroupId(group)))
        driver.apply(A, B).commit()
    Driver(bench, "five").accept()
    assert sorted(bench.store.groups_with_ends()) == ["g", "g:x", "other"]


def test_the_lock_has_an_owner_from_accept_to_the_end(bench: Bench) -> None:
    assert bench.store.lock_owner(GROUP) is None
    create = Driver(bench).accepted().apply(A)
    assert bench.store.lock_owner(GROUP) == create.id
    assert bench.store.lock_owner(GroupId("h")) is None
    create.apply(B).commit()
    assert bench.store.lock_owner(GROUP) is None


def test_the_store_tells_its_own_time(bench: Bench) -> None:
    before = bench.now()
    bench.pass_time(3)
    assert Millis(before + 3) <= bench.store.now() <= bench.now()
