"""What a process reads over its link to Redis, and that it asks no oftener than it must."""

from __future__ import annotations

import asyncio
import json
import threading
from unittest.mock import Mock, call

import pytest
import redis

from lockstep.producer.client.acceptance import REACHED, reach
from lockstep.worker.operation.errors import (
    RecordDamaged,
    RecordGone,
    StoreUnavailable,
    UnknownFormat,
    UnknownOperation,
)
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import GroupId, OperationId
from lockstep.worker.record.codec import check_format
from lockstep.worker.record.damage import unknown
from lockstep.worker.record.events import Events, Snapshot, follow, follow_async
from lockstep.worker.record.link import Link
from lockstep.worker.record.queries import StoreErrors
from lockstep.worker.record.scripts import Replicas
from tests.contract.bench import RedisBench
from tests.contract.driver import A, Driver
from tests.waiting import PATIENCE

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


def test_who_gives_no_time_is_told_once_how_an_operation_stands(redis_bench: RedisBench, link: Link) -> None:
    create = Driver(redis_bench).accepted()

    async def awaited() -> list[Snapshot]:
        return [each async for each in follow_async(link, create.id, 0.0)]

    assert len(list(follow(link, create.id, 0.0))) == len(asyncio.run(awaited())) == 1


def test_who_follows_an_operation_is_known_until_it_leaves_off(link: Link) -> None:
    with Events(link, OPERATION) as events:
        assert link.followed == {events}
    assert link.followed == set()


def test_as_many_operations_are_listed_as_are_asked_for_and_one_that_is_gone_is_not_put_back(
    redis_bench: RedisBench, link: Link
) -> None:
    store = link.store
    for name in ("one", "two", "three"):
        each = Driver(redis_bench, name)
        store.accept(each.request(group=GroupId(name)))
    assert [len(store.due_times(most)) for most in (0, 1, 2, 3)] == [3, 1, 2, 3]
    store.put_last(OperationId("gone"), ValueError("it cannot be read"), 1)
    assert len(store.due_times()) == 3


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
    for name, part, number in (("a", "places", 1), ("a", "queue", 2), ("a", "pace", 4), ("*", "pace", 8)):
        redis_bench.client.zadd(keys.line(name, part), {str(each): each for each in range(number)})
    told = {each.host: (each.busy, each.waiting) for each in link.limits.loads()}
    assert told == {"a": (1, 6), "*": (0, 8)}


def test_every_operation_that_has_not_ended_is_listed(redis_bench: RedisBench, link: Link) -> None:
    for name in ("one", "two"):
        each = Driver(redis_bench, name)
        each.store.accept(each.request(group=GroupId(name)))
    assert {each.id for each in link.unended()} == {"one", "two"}


@pytest.mark.usefixtures("redis_bench")
def test_a_stall_is_kept_with_its_reason(link: Link) -> None:
    link.stalls.note("worker1@node", "its loop stood still")
    (found,) = link.stalls.all()
    assert (found.worker, found.why) == ("worker1@node", "its loop stood still")


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


def test_a_redis_that_still_reads_its_file_is_not_asked_how_it_is(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Mock(ping=Mock(side_effect=redis.BusyLoadingError("it reads its file")))
    monkeypatch.setattr(link, "_client", client)
    with pytest.raises(StoreUnavailable):
        link.facts()
    client.info.assert_not_called()
    monkeypatch.undo()
    facts = link.facts()
    assert (facts.clients > 0, facts.most_clients > 0, facts.replicas) == (True, True, 0)


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


def test_a_script_is_sent_once_and_then_called_by_its_digest(redis_bench: RedisBench) -> None:
    redis_bench.client.script_flush()
    redis_bench.client.config_resetstat()
    for name in ("a", "b", "c"):
        driver = Driver(redis_bench, name)
        driver.store.accept(driver.request(group=GroupId(name)))
    told = redis_bench.client.info("commandstats")
    assert (told["cmdstat_eval"]["calls"], told["cmdstat_evalsha"]["calls"]) == (1, 3)
