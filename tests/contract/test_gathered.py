"""Transitions that go to Redis in one run come to exactly what the twin makes of them one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any, TypeVar

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Attempt, HostName, Millis, Seen, Step
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.record.scripts import Arguments, Batch, CallKind
from tests.contract.bench import SETTLED, MemoryBench, RedisBench
from tests.contract.driver import ABSENT, PRESENT, VERDICTS, Driver

T = TypeVar("T")
HOSTS = tuple(HostName(f"h{n}") for n in range(10))
SOON = 10.0
TIMELESS: dict[str, Any] = {
    "created_at": 0,
    "deadline_at": 0,
    "decided_at": None,
    "ended_at": None,
    "pending_hosts": (),
}


class Gate:
    """Holds back what goes to Redis until so many calls wait, and lets them through in one run."""

    def __init__(self, store: RedisStore) -> None:
        self._scripts = store._scripts
        self._open: Batch = self._scripts._batch
        self._send = self._open._send
        self._reached, self._through = Event(), Event()
        self.sent: list[dict[CallKind, int]] = []

    def _hold(
        self, calls: Mapping[CallKind, Sequence[Arguments]]
    ) -> Mapping[CallKind, Sequence[object] | Exception]:
        if not self._reached.is_set():
            self._reached.set()
            assert self._through.wait(SOON)
        self.sent.append({kind: len(same) for kind, same in calls.items()})
        return self._send(calls)

    def together(self, calls: Sequence[Callable[[], T]], first: Callable[[], object]) -> list[T]:
        """Make the calls, in this order, in one run behind a first one that does not matter."""
        self._scripts._batch = gated = Batch(self._hold)
        step = Event()
        with ThreadPoolExecutor(len(calls) + 1) as pool:
            opening = pool.submit(first)
            assert self._reached.wait(SOON)
            made = []
            for n, call in enumerate(calls, 1):
                made.append(pool.submit(call))
                while gated._calls.qsize() < n:
                    step.wait(0.001)
            self._through.set()
            opening.result(SOON)
            said = [each.result(SOON) for each in made]
        self._scripts._batch = self._open
        self._reached.clear()
        self._through.clear()
        return said


def bare(steps: Sequence[Step]) -> list[Step]:
    """Steps without their times, which are Redis' own."""

    def timeless(attempt: Attempt) -> Attempt:
        at = Millis(0)
        answered = None if attempt.answered_at is None else at
        closed = None if attempt.closed_at is None else at
        looked = None if attempt.probed_at is None else at
        fixed = replace(attempt, opened_at=at, send_by=at, quiet_at=at)
        return replace(fixed, answered_at=answered, closed_at=closed, probed_at=looked)

    return [
        replace(step, due_at=None, attempts=tuple(timeless(each) for each in step.attempts)) for step in steps
    ]


def looked(driver: Driver, host: HostName, seen: Seen) -> tuple[bool, int]:
    """Record a GET; return what it brought, without the time of the next."""
    settled = driver.look(host, seen)
    return settled.restored, settled.open


class Pair:
    """The same operation on Redis, where calls are gathered, and on the twin, where they are not."""

    def __init__(self, redis_bench: RedisBench, memory: MemoryBench) -> None:
        self.real, self.twin = (Driver(bench).accepted(HOSTS) for bench in (redis_bench, memory))
        assert isinstance(redis_bench.store, RedisStore)
        self.gate = Gate(redis_bench.store)

    def both(self, call: Callable[..., T], rows: Iterable[tuple[object, ...]]) -> None:
        """Make one call per row of arguments on both; both must answer and keep the same."""
        rows = list(rows)
        said = self.gate.together([partial(call, self.real, *row) for row in rows], self.look)
        assert said == [call(self.twin, *row) for row in rows]
        assert sum(self.gate.sent[-1].values()) == len(rows)
        self.compare()

    def look(self) -> object:
        """A call that does not matter."""
        return self.real.store.view(self.real.id, HOSTS[0])

    def pass_time(self) -> None:
        """Let every write become quiet, and every settling pass."""
        for each in (self.real, self.twin):
            each.bench.pass_time(SETTLED)

    def compare(self) -> None:
        """Hold the two records against each other."""
        real, twin = self.real.kept(), self.twin.kept()
        assert bare(self.real.store.steps(real.id)) == bare(self.twin.store.steps(twin.id))
        assert replace(real, **TIMELESS) == replace(twin, **TIMELESS)
        assert set(real.pending_hosts) == set(twin.pending_hosts)
        assert self.real.counts() == self.twin.counts()
        assert self.real.bench.key_names() == self.twin.bench.key_names()


def test_a_whole_rollback_gathered_comes_to_what_it_comes_to_one_by_one(
    redis_bench: RedisBench, memory: MemoryBench
) -> None:
    pair = Pair(redis_bench, memory)
    group = pair.real.request().group
    pair.both(Driver.begin, [(h, f"{h}1", PRESENT if h == HOSTS[0] else ABSENT) for h in HOSTS[:-1]])
    pair.both(Driver.missed, [(HOSTS[-1], f"look {n}") for n in range(2)])
    pair.both(Driver.begin, [(h, f"{h}1") for h in (HOSTS[1], HOSTS[-1], HOSTS[-1])])
    verdicts = [
        Effect.APPLIED, Effect.UNSHOWN, Effect.ALREADY, Effect.NOT_APPLIED, Effect.UNKNOWN,
        Effect.REFUSED, Effect.CONTESTED, Effect.MISDIRECTED, Effect.APPLIED,
    ]  # fmt: skip
    assert set(verdicts) == set(VERDICTS)
    pair.both(Driver.finish, [(h, f"{h}1", v) for h, v in zip(HOSTS[1:], verdicts, strict=True)])
    assert pair.real.kept().reason == f"{HOSTS[6]} refused (said)", "the first that failed decides"
    assert pair.real.step(HOSTS[7]).outcome is None, "the others came after the decision"
    for each in (pair.real, pair.twin):
        assert set(each.claim()) == set(each.kept().pending_hosts)
    pair.pass_time()
    pair.both(looked, [(h, PRESENT) for h in HOSTS[1:]])
    pair.both(Driver.begin_undo, [(h, f"undo {h}") for h in HOSTS])
    pair.both(Driver.finish_undo, [(h, f"undo {h}", Effect.APPLIED) for h in HOSTS])
    assert pair.real.kept().pending_hosts, "hosts whose forward write is open have yet to settle"
    for _ in range(3):
        pair.pass_time()
        pair.both(looked, [(h, ABSENT) for h in HOSTS])
    assert pair.real.kept().ended
    assert redis_bench.ends(group) == memory.ends(group)


def test_the_last_outcome_commits_in_whichever_run_it_comes(
    redis_bench: RedisBench, memory: MemoryBench
) -> None:
    pair = Pair(redis_bench, memory)
    pair.both(Driver.begin, [(h, f"{h}1") for h in HOSTS])
    pair.both(Driver.finish, [(h, f"{h}1", Effect.APPLIED) for h in (*HOSTS, *HOSTS)])
    assert pair.real.kept().ended
    pair.both(Driver.begin, [(h, f"{h}2") for h in HOSTS])


def test_what_fails_in_a_run_is_decided_before_the_next_call_of_it(
    redis_bench: RedisBench, memory: MemoryBench
) -> None:
    pair = Pair(redis_bench, memory)
    pair.both(Driver.begin, [(HOSTS[0], f"a{n}") for n in range(5)] + [(h, f"{h}1") for h in HOSTS[1:]])
    assert pair.real.kept().pending_hosts == (HOSTS[0],), "its writes are spent: nobody else may begin"
    assert set(pair.real.claim()) == set(pair.twin.claim()) == {HOSTS[0]}


def test_no_wait_is_taken_back_where_none_is_recorded(redis_bench: RedisBench, memory: MemoryBench) -> None:
    pair = Pair(redis_bench, memory)
    pair.both(Driver.begin, [(h, f"{h}1") for h in HOSTS])

    def removals() -> int:
        found: dict[str, dict[str, int]] = redis_bench.client.info("commandstats")
        return found.get("cmdstat_zrem", {"calls": 0})["calls"]

    before = removals()
    pair.both(Driver.finish, [(h, f"{h}1", Effect.APPLIED) for h in HOSTS[:5]])
    assert removals() == before
    for each in (pair.real, pair.twin):
        each.store.postpone(each.id, HOSTS[5], 60_000)
    pair.both(Driver.finish, [(h, f"{h}1", Effect.APPLIED) for h in HOSTS[5:9]])
    assert removals() > before
    assert pair.real.step(HOSTS[5]).due_at is None


def test_a_record_that_two_drop_in_one_run_is_dropped_once(redis_bench: RedisBench) -> None:
    driver = Driver(redis_bench).accepted(HOSTS).apply(*HOSTS).commit()
    store = driver.store
    assert isinstance(store, RedisStore)
    gate = Gate(store)
    said = gate.together([partial(store._forget, driver.id)] * 2, partial(store.view, driver.id, HOSTS[0]))
    assert said == [True, False]
    assert sum(gate.sent[-1].values()) == 2
    assert not store.exists(driver.id)
