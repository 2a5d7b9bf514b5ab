from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lockstep.worker.operation.errors import OperationIdReused, StoreFull
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, State, Undo
from lockstep.worker.operation.transitions import Accepted, Busy
from tests.contract.bench import Bench, RedisBench
from tests.contract.driver import GROUP, A, B, Driver

NEW = {"op:one", "op:one:steps", "op:one:todo", "lock:g", "operations", "due"}


def test_accept_records_the_operation_and_every_host(bench: Bench) -> None:
    before = bench.now()
    create = Driver(bench).accepted(deadline=300_000)
    kept = create.kept()
    assert (kept.id, kept.group, kept.action, kept.verb) == (create.id, GROUP, Action.CREATE, "create")
    assert (kept.state, kept.decision, kept.ended) == (State.APPLYING, None, False)
    assert (kept.hosts_total, kept.hosts_done, kept.pending_hosts) == (2, 0, ())
    assert (kept.created_by, kept.reason, kept.settling) == ("a test", None, False)
    assert before <= kept.created_at <= bench.now()
    assert kept.deadline_at == kept.created_at + 300_000
    assert [step.host for step in create.store.steps(create.id)] == [A, B]
    assert (create.step(A).fingerprint, create.step(A).wave, create.step(A).trace) == ("url-of-a", 1, None)
    assert (create.step(A).before, create.step(A).outcome, create.step(A).undo) == (None, None, Undo.NONE)


def test_accept_leaves_exactly_these_keys(create: Driver) -> None:
    assert create.bench.key_names() == NEW


def test_the_same_request_again_is_the_same_operation(create: Driver) -> None:
    create.apply(A)
    kept = create.kept()
    assert create.accept() is Accepted.EXISTING
    assert create.accept(hosts=(B, A)) is Accepted.EXISTING, "the order of hosts means nothing"
    assert create.kept() == kept


def test_an_ended_operation_is_still_the_same(create: Driver) -> None:
    create.apply(A, B).commit()
    assert create.accept() is Accepted.EXISTING
    assert create.kept().ended
    assert not create.locked()


def test_the_same_id_for_something_else_is_an_error(create: Driver) -> None:
    keys, kept = create.bench.key_names(), create.kept()
    others = (
        create.request(hosts=(A,)),
        create.request(hosts=(A, B, HostName("c"))),
        create.request(group=GroupId("h")),
        Driver(create.bench, action=Action.DELETE).request(),
    )
    for other in others:
        with pytest.raises(OperationIdReused, match=r'"one"'):
            create.store.accept(other)
    assert (create.bench.key_names(), create.kept()) == (keys, kept)


def test_an_id_belongs_to_who_gave_it(bench: Bench) -> None:
    store, request = bench.store, replace(Driver(bench, "mine").request(), owner="alice")
    assert store.accept(request) is Accepted.ACCEPTED
    assert store.accept(request) is Accepted.EXISTING
    with pytest.raises(OperationIdReused, match=r'"mine" was given by a test'):
        store.accept(replace(request, owner="bob"))
    assert store.accept(replace(request, owner="")) is Accepted.EXISTING, "an older producer names nobody"


def test_a_second_operation_on_the_group_is_told_whose_it_is(create: Driver) -> None:
    second = Driver(create.bench, "two")
    assert second.accept() == Busy(OperationId("one"))
    assert second.store.operation(second.id) is None
    assert create.bench.key_names() == NEW, "a refusal stores nothing"


def test_another_group_is_free(create: Driver) -> None:
    second = Driver(create.bench, "two")
    assert second.store.accept(second.request(group=GroupId("h"))) is Accepted.ACCEPTED


def test_the_group_is_free_once_its_operation_has_ended(create: Driver) -> None:
    second = Driver(create.bench, "two")
    create.apply(A)
    assert second.accept() == Busy(create.id)
    create.apply(B).commit()
    assert second.accept() is Accepted.ACCEPTED


def test_a_full_store_refuses_new_operations_and_serves_old_ones(create: Driver) -> None:
    create.bench.fill()
    second = Driver(create.bench, "two")
    with pytest.raises(StoreFull):
        second.store.accept(second.request(group=GroupId("h")))
    assert create.bench.key_names() == NEW
    assert create.accept() is Accepted.EXISTING
    create.apply(A, B).commit()
    assert create.kept().ended


def test_who_is_refused_by_a_full_store_reads_how_full_it_is(redis_bench: RedisBench) -> None:
    redis_bench.fill()
    with pytest.raises(StoreFull, match=r"^Redis uses \d+ of \d+ bytes, over the watermark of 80%") as full:
        Driver(redis_bench).accept()
    used, limit, _ = map(int, re.findall(r"\d+", str(full.value)))
    assert str(limit) == redis_bench.client.config_get("maxmemory")["maxmemory"]
    assert 0.8 * limit <= used < limit


def test_a_thousand_hosts_and_more_fit_into_one_operation(bench: Bench) -> None:
    hosts = tuple(HostName(f"node{n}") for n in range(2_500))
    many = Driver(bench).accepted(hosts)
    assert many.kept().hosts_total == many.counts().todo == 2_500
    assert [step.host for step in many.store.steps(many.id)] == list(hosts), "node2 before node10"
    many.roll_back()
    assert many.kept().state is State.ROLLED_BACK
