from __future__ import annotations

import inspect

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import NAMED_AFTER
from lockstep.worker.operation.model import Action, AttemptId, Decision, HostName, OperationId, Presence, Seen
from lockstep.worker.operation.transitions import Forward, Order
from lockstep.worker.record.redis import RedisStore
from tests.contract.bench import Bench
from tests.contract.contents import GONE, OLD, Thing
from tests.contract.driver import ABSENT, LONG, A, B, Driver
from tests.twin import MemoryStore


def test_the_twin_is_asked_as_the_store_on_redis_is() -> None:
    methods = dict(inspect.getmembers(MemoryStore, inspect.isfunction))
    for name in {name for name in methods if name[0] != "_"} - {"heard"}:
        signature = inspect.signature(getattr(RedisStore, name))
        assert inspect.signature(methods[name]) == signature, name


def test_an_order_says_what_an_operation_is_about(create: Driver) -> None:
    kept = create.kept()
    assert create.store.order(kept.id) == Order(kept.group, kept.action, frozenset({A, B}))
    assert create.store.order(OperationId("unknown")) is None


def test_the_first_failure_is_the_reason(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(B, "b1")
    create.finish(B, "b1", Effect.REFUSED)
    create.finish(A, "a1", Effect.REFUSED)
    assert (create.kept().reason, create.step(B).reason) == ("b refused (said)", "refused (said)")


def test_an_operation_settles_from_its_decision_until_its_last_write_is_answered(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(B, "b1")
    assert (create.kept().settling, create.kept().pending_hosts) == (False, ()), "nothing is decided"
    create.finish(A, "a1", Effect.APPLIED)
    create.roll_back()
    assert create.kept().settling
    create.finish(B, "b1", Effect.APPLIED)
    assert (create.kept().settling, create.kept().pending_hosts) == (False, (A, B))


def test_who_brings_a_host_to_its_outcome_is_told_the_step_as_it_then_is(create: Driver) -> None:
    create.begin(A, "a1")
    assert create.finish(A, "a1", Effect.APPLIED).step == create.step(A)


def test_a_view_shows_one_step_and_the_time(create: Driver) -> None:
    create.begin(A, "a1")
    create.roll_back()
    before = create.bench.now()
    view = create.store.view(create.id, A)
    assert before <= view.now <= create.bench.now()
    assert (view.decision, view.undo_needed) == (Decision.ROLL_BACK, True)
    assert (view.action, view.group) == (create.action, create.kept().group)
    assert view.step == create.step(A)
    assert create.step(A).trace is None, "a group has no content"
    assert create.store.view(create.id, B).undo_needed is False


def test_nothing_is_seen_of_what_never_was(create: Driver) -> None:
    assert create.store.view(create.id, HostName("c")).step is None
    unknown = create.store.view(OperationId("unknown"), A)
    assert (unknown.step, unknown.decision) == (None, None)
    assert create.store.steps(OperationId("unknown")) == ()
    assert create.store.operation(OperationId("unknown")) is None
    assert not create.store.exists(OperationId("unknown"))
    assert create.store.exists(create.id)


def test_hosts_stand_in_their_natural_order(bench: Bench) -> None:
    hosts = tuple(HostName(name) for name in ("node10", "node9", "a", "7", "node2"))
    create = Driver(bench).accepted(hosts)
    assert [step.host for step in create.store.steps(create.id)] == ["7", "a", "node2", "node9", "node10"]


def test_operations_come_newest_first_and_by_page(bench: Bench) -> None:
    for name in ("one", "two", "three"):
        Driver(bench, name).accepted().apply(A, B).commit()
        bench.pass_time(2)
    assert [each.id for each in bench.store.operations(2)] == ["three", "two"]
    assert [each.id for each in bench.store.operations(2, 2)] == ["one"]


def test_a_wait_is_kept_with_its_reason(create: Driver) -> None:
    now = create.bench.now()
    assert create.store.postpone(create.id, A, 60_000, "429") == 0
    step = create.step(A)
    assert step.reason == "429"
    assert step.due_at is not None
    assert now + 60_000 <= step.due_at <= create.bench.now() + 60_000
    create.store.postpone(create.id, B, None)
    assert create.step(B).due_at is None
    assert create.store.postpone(OperationId("unknown"), A, 10) == 0
    assert create.store.postpone(create.id, HostName("c"), 10) == 0


def test_failed_tries_are_counted_once_each_and_name_stalled_hosts(create: Driver) -> None:
    create.undoing(A, B)
    for n in range(1, NAMED_AFTER + 1):
        assert create.kept().stalled_hosts == ()
        for _ in range(2):
            said = create.store.postpone(create.id, A, None, "GET 500", failed=AttemptId(f"t{n}"))
            assert said == n
    assert create.step(A).undo_misses == NAMED_AFTER
    assert (create.kept().stalled_hosts, create.kept().pending_hosts) == ((A,), (A, B))


def test_a_wait_after_the_end_is_not_kept(create: Driver) -> None:
    create.apply(A, B).commit()
    keys = create.bench.key_names()
    assert create.store.postpone(create.id, A, 10, "late", failed=AttemptId("t")) == 0
    assert create.bench.key_names() == keys
    assert create.step(A).reason is None


def test_a_lease_is_held_by_one_at_a_time_and_passes(bench: Bench) -> None:
    assert bench.store.lease("sweep", LONG) is True
    assert bench.store.lease("sweep", LONG) is False
    assert bench.store.lease("patrol", 5) is True, "each name by itself"
    bench.pass_time(6)
    assert bench.store.lease("patrol", 5) is True
    assert "lease:sweep" in bench.key_names()


def test_before_is_shown_as_it_was_seen(create: Driver) -> None:
    create.begin(A, "a1", Seen(Presence.ABSENT))
    assert create.step(A).before == ABSENT
    assert create.step(B).before is None


def test_periodic_work_is_failing_until_it_is_done(bench: Bench) -> None:
    store = bench.store
    assert store.failing() == {}
    store.note_failed("sweep", "no")
    store.note_failed("sweep", "too many open files")
    store.note_failed("patrol", "no")
    assert store.failing() == {"sweep": "too many open files", "patrol": "no"}
    assert "failing" in bench.key_names()
    store.note_done("sweep", LONG)
    assert store.failing() == {"patrol": "no"}
    assert "lease:sweep-done" in bench.key_names()
    store.note_done("sweep", LONG)
    assert store.lease("sweep", LONG), "being done is not being at it"


def test_a_step_says_what_was_there_before_and_an_operation_what_is_done_to_the_thing(bench: Bench) -> None:
    thing = Thing(bench).accepted().written(A).written(B, before=GONE)
    before = [step.before.presence for step in bench.store.steps(thing.id) if step.before]
    assert before == [Presence.PRESENT, Presence.ABSENT]
    assert not thing.trace(A).overwrote
    order = bench.store.order(thing.id)
    assert order is not None
    assert order.content == thing.asked
    assert {"target": "text of target", "secret": "sealed"}.items() <= order.content.texts.items()
    kept = bench.store.operation(thing.id)
    assert kept is not None
    assert (kept.action, kept.verb) == (Action.CREATE, "set")


def test_an_undo_that_waits_for_a_write_is_told_until_when(bench: Bench) -> None:
    thing = Thing(bench).accepted().written(A, Effect.UNKNOWN).roll_back()
    said = thing.restore(A, OLD)
    assert said.next is Forward.SETTLE
    assert (said.again_at or 0) > bench.now()
