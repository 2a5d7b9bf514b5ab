"""Many callers at once on a real server: each transition takes place as if alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Decision, HostName, Outcome, State
from lockstep.worker.operation.transitions import Accepted, Busy, Forward, Progress, Refusal
from tests.contract.bench import RedisBench
from tests.contract.driver import PRESENT, A, B, Driver
from tests.waits import PATIENCE

T = TypeVar("T")
AT_ONCE = 8
HOSTS = tuple(HostName(f"h{n}") for n in range(40))


@pytest.fixture
def create(redis_bench: RedisBench) -> Driver:
    return Driver(redis_bench).accepted()


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run every call in a thread of its own, all starting at the same moment."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


def test_one_of_many_producers_gets_the_group(redis_bench: RedisBench) -> None:
    rivals = [Driver(redis_bench, f"o{n}") for n in range(AT_ONCE)]
    said = together([rival.accept for rival in rivals])
    winners = [rival for rival, one in zip(rivals, said, strict=True) if one is Accepted.ACCEPTED]
    assert len(winners) == 1
    assert said.count(Busy(winners[0].id)) == AT_ONCE - 1
    assert len(redis_bench.store.operations(100)) == 1


def test_one_request_sent_many_times_is_one_operation(redis_bench: RedisBench) -> None:
    said = together([Driver(redis_bench).accept] * AT_ONCE)
    assert Counter(said) == {Accepted.ACCEPTED: 1, Accepted.EXISTING: AT_ONCE - 1}


def test_of_many_deciders_one_wins_and_all_hear_it(create: Driver) -> None:
    create.apply(A)
    create.begin(B, "b1")

    def decider(n: int) -> Callable[[], object]:
        if n % 2:
            return partial(create.finish, B, "b1", Effect.APPLIED)
        return partial(create.store.cancel, create.id, f"decider {n}")

    said = together([decider(n) for n in range(AT_ONCE)])
    committed = create.kept().decision is Decision.COMMIT
    assert said.count(None) == (0 if committed else 1)
    assert said.count(Refusal.COMMITTED) == (AT_ONCE // 2 if committed else 0)
    assert said.count(Progress(Forward.DONE, outcome=Outcome.APPLIED)) == (AT_ONCE // 2 if committed else 0)


def test_cancel_and_commit_never_both_win(redis_bench: RedisBench) -> None:
    for n in range(10):
        create = Driver(redis_bench, f"o{n}").accepted().apply(A)
        create.begin(B, "b1")
        calls: list[Callable[[], object]] = [
            partial(create.store.cancel, create.id, "cancelled"),
            partial(create.finish, B, "b1", Effect.APPLIED),
        ]
        cancelled, finished = together(calls)
        committed = create.kept().state is State.COMMITTED
        assert (cancelled is Refusal.COMMITTED) == committed
        assert (finished == Progress(Forward.DONE, outcome=Outcome.APPLIED)) == committed
        if not committed:
            create.undo(A, B)


def test_two_begins_see_one_before(create: Driver) -> None:
    sights = [None, PRESENT] * (AT_ONCE // 2)
    said = together([partial(create.begin, A, f"a{n}", seen) for n, seen in enumerate(sights)])
    step = create.step(A)
    opened = said.count(Progress(Forward.SEND))
    assert len(step.attempts) == opened
    if step.outcome is Outcome.UNCHANGED:
        assert opened == 0
    else:
        assert step.outcome is Outcome.APPLIED
        assert step.before is not None
        assert step.before.presence is not create.action.target


def test_begins_never_exceed_the_limit(create: Driver) -> None:
    said = together([partial(create.begin, A, f"a{n}") for n in range(AT_ONCE)])
    writes = create.store.steps(create.id)[0].writes
    assert said.count(Progress(Forward.SEND)) == writes == 3
    assert create.counts().failed == 1


def test_no_attempt_opens_beside_a_decision(redis_bench: RedisBench) -> None:
    create = Driver(redis_bench).accepted(HOSTS)
    calls: list[Callable[[], object]] = [partial(create.begin, host, f"{host}1") for host in HOSTS]
    calls.append(partial(create.store.cancel, create.id, "cancelled"))
    said = together(calls)
    sent = [host for host, one in zip(HOSTS, said, strict=False) if one == Progress(Forward.SEND)]
    assert create.kept().pending_hosts == tuple(sorted(sent))
    assert [step.host for step in create.store.steps(create.id) if step.touched] == sent


def test_every_finish_is_counted(redis_bench: RedisBench) -> None:
    create = Driver(redis_bench).accepted(HOSTS)
    for host in HOSTS:
        create.begin(host, f"{host}1")
    together([partial(create.finish, host, f"{host}1", Effect.APPLIED) for host in HOSTS])
    assert create.counts() == (0, 0, 0, 0)
    assert create.kept().decision is Decision.COMMIT
    assert create.kept().ended


def test_of_many_failures_one_decides(redis_bench: RedisBench) -> None:
    create = Driver(redis_bench).accepted(HOSTS)
    for host in HOSTS:
        create.begin(host, f"{host}1")
    twice = [*HOSTS, *HOSTS]
    together([partial(create.finish, host, f"{host}1", Effect.REFUSED) for host in twice])
    assert create.counts().failed == 1, "what comes after the decision is no outcome any more"
    failed = [step.host for step in create.store.steps(create.id) if step.outcome is Outcome.REFUSED]
    assert create.kept().reason == f"{failed[0]} refused (said)"


def test_a_rollback_is_claimed_by_one(create: Driver) -> None:
    create.apply(A).begin(B, "b1")
    create.roll_back()
    said = together([partial(create.claim, resume=bool(n % 2)) for n in range(AT_ONCE)])
    assert Counter(said) == {(A, B): 1, (): AT_ONCE - 1}


def test_the_last_two_undos_end_it_once(redis_bench: RedisBench) -> None:
    create = Driver(redis_bench).accepted(HOSTS).undoing(*HOSTS)
    for host in HOSTS:
        create.begin_undo(host, f"undo {host}")
    said = together([partial(create.finish_undo, host, f"undo {host}", Effect.APPLIED) for host in HOSTS])
    assert all(said)
    assert create.kept().state is State.ROLLED_BACK
    assert not create.locked()


def test_one_sweep_holds_the_lease(redis_bench: RedisBench) -> None:
    said = together([partial(redis_bench.store.lease, "sweep", 60_000)] * AT_ONCE)
    assert said.count(True) == 1
