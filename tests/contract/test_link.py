"""What a process reads over its link to Redis, and that it asks no oftener than it must."""

from __future__ import annotations

import asyncio
import json
import threading
from unittest.mock import MagicMock, Mock, call

import pytest
import redis

from lockstep.producer.client.acceptance import REACHED, reach
from lockstep.worker.connection import client as client_of
from lockstep.worker.connection import primary
from lockstep.worker.operation.errors import (
    RecordDamaged,
    RecordGone,
    StoreUnavailable,
    UnknownFormat,
    UnknownOperation,
)
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import Action, GroupId, Loss, Millis, OperationId
from lockstep.worker.record import link as link_module
from lockstep.worker.record.codec import check_format
from lockstep.worker.record.damage import gone, noted, unknown
from lockstep.worker.record.ends import WEEK
from lockstep.worker.record.events import Events
from lockstep.worker.record.link import Link
from lockstep.worker.record.queries import StoreErrors
from lockstep.worker.record.scripts import Replicas
from lockstep.worker.settings import load_settings
from tests.children import in_child
from tests.contract.bench import RedisBench
from tests.contract.driver import GROUP, A, Driver
from tests.waits import PATIENCE, eventually

OPERATION = OperationId("told")


def test_redis_is_asked_whether_it_answers_unless_it_has_just_done_so(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Link] = []
    monkeypatch.setattr(link.store, "now", lambda: asked.append(link))
    for _ in range(3):
        reach(link)
    assert len(asked) == 1
    link.heard -= REACHED
    reach(link)
    assert len(asked) == 2


def test_a_link_says_how_long_a_lease_still_lasts(redis_bench: RedisBench, link: Link) -> None:
    assert link.leased("sweep") is None
    redis_bench.store.lease("sweep", 60_000)
    assert 0 < (link.leased("sweep") or 0) <= 60_000
    redis_bench.store.keep_lease("sweep", 600_000)
    assert 60_000 < (link.leased("sweep") or 0) <= 600_000
    redis_bench.client.persist(link.keys.lease("sweep"))
    assert link.leased("sweep") == -1


def test_a_link_that_is_closed_waits_for_nobody_who_still_reads(link: Link) -> None:
    reads, through, closed = threading.Event(), threading.Event(), threading.Event()

    def read() -> bool:
        reads.set()
        return through.wait(PATIENCE)

    def close() -> None:
        link.close()
        closed.set()

    async def scenario() -> bool | None:
        reading = asyncio.create_task(link.off_loop(read))
        await asyncio.to_thread(reads.wait, PATIENCE)
        threading.Thread(target=close, daemon=True).start()
        try:
            assert await asyncio.to_thread(closed.wait, PATIENCE)
        finally:
            through.set()
        return await reading

    assert asyncio.run(scenario())


def test_as_many_operations_are_listed_as_are_asked_for_and_one_that_is_gone_is_not_put_back(
    redis_bench: RedisBench, link: Link
) -> None:
    store = link.store
    for name in ("one", "two", "three"):
        each = Driver(redis_bench, name)
        store.accept(each.request(group=GroupId(name)))
        redis_bench.pass_time(1)
    assert [len(store.due_times(most)) for most in (0, 1, 2, 3)] == [3, 1, 2, 3]
    assert (link.newest(1), link.newest(2)) == (["three"], ["three", "two"])
    store.put_last(OperationId("gone"), ValueError("it cannot be read"), 1)
    assert len(store.due_times()) == 3


def test_an_operation_that_cannot_be_read_comes_after_the_others(redis_bench: RedisBench, link: Link) -> None:
    for name in ("one", "two"):
        each = Driver(redis_bench, name)
        link.store.accept(each.request(group=GroupId(name)))
    before = link.store.now()
    with noted() as found:
        link.store.put_last(OperationId("one"), ValueError("it cannot\nbe read"), 600_000)
    assert [(each.kind, each.field, each.why) for each in found] == [
        ("operation", "one", "it cannot be read")
    ]
    due = link.store.due_times()
    assert list(due) == ["two", "one"]
    assert before + 600_000 <= due[OperationId("one")] <= link.store.now() + 600_000


def test_an_old_record_is_forgotten_though_there_are_few(redis_bench: RedisBench) -> None:
    driver = Driver(redis_bench).accepted((A,)).apply(A).commit()
    redis_bench.pass_time(2)
    assert redis_bench.store.forget(1, 10, 100) == 1
    assert not redis_bench.store.exists(driver.id)


def test_replicas_are_asked_after_a_write_of_our_own() -> None:
    pipe = Mock()
    Replicas("fence", 2, 500).ask(pipe)
    assert pipe.mock_calls == [call.set("fence", 1), call.execute_command("WAIT", 2, 500)]


def test_of_each_limit_it_is_told_how_many_write_and_how_many_wait_for_whichever_reason(
    redis_bench: RedisBench, link: Link
) -> None:
    keys = link.keys
    assert link.limits.loads() == []
    link.limits.keep({"a": WriteLimit(1), "*": WriteLimit(a_second=2.0)})
    for name, part, number in (
        ("a", "places", 1),
        ("a", "queue", 2),
        ("a", "pace", 4),
        ("*", "queue", 3),
        ("*", "pace", 5),
    ):
        redis_bench.client.zadd(keys.line(name, part), {str(each): each for each in range(number)})
    told = {each.host: (each.busy, each.waiting, each.text) for each in link.limits.loads()}
    assert told == {
        "a": (1, 6, "a: 1 of 1 writes at once, 6 wait for their turn"),
        "*": (0, 8, "all hosts together: 2 a second, 8 wait for their turn"),
    }


def test_every_operation_that_has_not_ended_is_listed(redis_bench: RedisBench, link: Link) -> None:
    for name in ("one", "two"):
        each = Driver(redis_bench, name)
        each.store.accept(each.request(group=GroupId(name)))
    assert {each.id for each in link.unended()} == {"one", "two"}
    redis_bench.client.hset(link.keys.operation(OperationId("one")), "total", "soon")
    assert {each.id for each in link.unended()} == {"two"}, "the other cannot be read"


def test_a_stall_is_kept_with_its_reason(redis_bench: RedisBench, link: Link) -> None:
    link.stalls.note("worker1@node", "its loop stood still")
    (found,) = link.stalls.all()
    assert (found.worker, found.why) == ("worker1@node", "its loop stood still")
    assert 0 < redis_bench.client.pttl(link.keys.stalled) <= 86_400_000


def test_a_stall_is_told_of_for_a_day(still_redis: RedisBench, link: Link) -> None:
    at = still_redis.now() - 86_400_000
    still_redis.client.hset(link.keys.stalled, "gone", json.dumps({"at": at, "why": "it hung"}))
    still_redis.client.hset(link.keys.stalled, "told", json.dumps({"at": at + 1, "why": "it hung"}))
    assert [each.worker for each in link.stalls.all()] == ["told"]


@pytest.mark.parametrize(
    ("written", "raises"), [(None, RecordDamaged), ("soon", RecordDamaged), ("99", UnknownFormat)]
)
def test_a_format_that_is_not_ours_is_damage_or_newer(written: str | None, raises: type[Exception]) -> None:
    with pytest.raises(raises):
        check_format(written)


def test_an_operation_is_read_at_one_moment(redis_bench: RedisBench, link: Link) -> None:
    create = Driver(redis_bench).accepted()
    redis_bench.client.config_resetstat()
    link.store.with_steps(create.id)
    assert redis_bench.client.info("commandstats")["cmdstat_multi"]["calls"] == 1


def test_what_is_damaged_of_operations_at_work_is_left_out(redis_bench: RedisBench, link: Link) -> None:
    create = Driver(redis_bench).accepted()
    create.begin(A, "a1")
    redis_bench.client.set(link.keys.operation(OperationId("none")), "no hash")
    asked = [OperationId("none"), OperationId("gone"), create.id]
    (found,) = link.looked_at(asked, link.store.now())
    assert found[1:] == (2, 1, 1, 0)
    assert found.operation == create.kept()


def test_a_link_that_is_closed_leaves_no_connection(
    redis_bench: RedisBench, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary, "IDLE", 2 * PATIENCE)

    def there() -> set[str]:
        return {each["id"] for each in redis_bench.client.client_list()}

    before = there()
    link.store.now()
    link.waiting.now()
    with Events(link, OPERATION) as events:
        events.subscribe()
    assert there() > before
    link.close()
    eventually(lambda: there() == before, "all are closed")


def test_who_awaits_reads_in_a_thread_of_the_clients_own(link: Link) -> None:
    name = asyncio.run(link.off_loop(lambda: threading.current_thread().name))
    assert str(name).startswith("lockstep-reader")


def test_who_waits_for_an_answer_is_told_after_the_second_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(wraps=client_of)
    monkeypatch.setattr(link_module, "client", made)
    Link(load_settings(redis_url="redis://127.0.0.1:1/0", redis_timeout=2)).close()
    assert made.call_args.kwargs == {"within": 10}


def test_a_database_is_gone_over_from_its_beginning_to_its_end_while_there_is_time(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = MagicMock()
    scan = there.__enter__.return_value.scan
    monkeypatch.setattr(link_module, "client", lambda _: there)
    monkeypatch.setattr(link, "_client", Mock(info=lambda _: {"db3": {}, "other": {}}))
    scan.side_effect = [(7, ["p:op:another"]), (0, ["p:op:told-1:steps", "p:op:told-1"])]
    assert link.elsewhere("told", 60.0) == (3, "p:", "told-1")
    assert [each.args[0] for each in scan.call_args_list] == [0, 7]
    scan.side_effect = [(7, []), (0, [])]
    assert link.elsewhere("told", 60.0) is None
    scan.side_effect = None
    assert link.elsewhere("told", -1.0) is None
    assert scan.call_count == 4
    monkeypatch.undo()


def test_a_lost_record_is_told_until_a_later_operation_on_its_group_has_ended(
    redis_bench: RedisBench, link: Link
) -> None:
    link.store.note_lost(OperationId("lost"), GROUP)
    assert [each.id for each in link.unresolved()] == ["lost"]
    assert 0 < redis_bench.client.pttl(link.keys.lost) <= WEEK
    redis_bench.pass_time(2)
    Driver(redis_bench).accepted((A,)).apply(A).commit()
    assert link.unresolved() == ()


def test_a_forked_child_has_clients_of_its_own(link: Link) -> None:
    before = link.store
    assert in_child(lambda: link.store is not before)


def test_what_redis_py_raises_comes_as_an_error_of_ours() -> None:
    class Reads(StoreErrors):
        def read(self) -> None:
            raise redis.ConnectionError("gone")

    with pytest.raises(StoreUnavailable):
        Reads().read()


def test_an_id_that_nothing_is_known_of_sends_to_the_page_on_lost_records_and_another_id_does_not() -> None:
    assert unknown(OPERATION).page == RecordGone.page
    mistyped = unknown(OPERATION, 'it is the name of host "told"')
    assert mistyped.page == UnknownOperation.page != RecordGone.page
    assert str(mistyped).endswith('"told" is unknown: it is the name of host "told"')


@pytest.mark.parametrize(("action", "what"), [(Action.DELETE, 'delete "g"'), (None, 'on group "g"')])
def test_of_a_record_that_is_gone_it_is_told_what_it_was_about(action: Action | None, what: str) -> None:
    assert f'"told" ({what}) vanished' in str(gone(Loss(OPERATION, GroupId("g"), action, Millis(7))))


def test_a_script_is_sent_once_and_then_called_by_its_digest(redis_bench: RedisBench) -> None:
    redis_bench.client.script_flush()
    redis_bench.client.config_resetstat()
    for name in ("a", "b", "c"):
        driver = Driver(redis_bench, name)
        driver.store.accept(driver.request(group=GroupId(name)))
    told = redis_bench.client.info("commandstats")
    assert (told["cmdstat_eval"]["calls"], told["cmdstat_evalsha"]["calls"]) == (1, 3)
