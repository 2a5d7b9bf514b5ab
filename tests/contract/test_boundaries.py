"""Where one side ends and the other begins: what small changes of the code would move unseen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import Backoff
from lockstep.worker.operation.model import Action, AttemptId, Millis, OperationId, Outcome
from lockstep.worker.operation.story import story
from lockstep.worker.record.scripts import Replicas
from lockstep.worker.steps.apply import Next, StepContext, StepResult, Try, forward
from lockstep.worker.steps.rollback import QUICK_LOOKS, LookTry
from lockstep.worker.tasks.run import with_story
from tests.contract import bench
from tests.contract.bench import LIMITS, PREFIX, MemoryBench, RedisBench
from tests.contract.driver import GROUP, A, B, Driver
from tests.contract.test_demand import standing
from tests.contract.test_gate_step import LARGE, Node

QUICK = Backoff(1, 8)


def context(memory: MemoryBench) -> StepContext:
    return StepContext(
        memory.memory, lambda _: None, SystemClock(), LIMITS, QUICK, QUICK, 60.0, lambda _: None
    )


def test_a_wait_as_long_as_the_longest_countdown_is_a_countdown(memory: MemoryBench) -> None:
    create = Driver(memory).accepted()
    longest = LIMITS.longest_countdown / 1000
    this = Try(context(memory), create.id, A, 1)
    assert this.wait(longest, "").next is Next.AGAIN
    assert create.step(A).due_at is None
    later = this.wait(longest + 0.001, "")
    assert (later.next, later.text) == (Next.LATER, "waits 8 s in the record")
    assert create.step(A).due_at == memory.now() + LIMITS.longest_countdown + 1
    assert this.wait(longest + 0.001, "GET 503", AttemptId("look")).text == "GET 503"


def test_whoever_is_in_line_comes_back_at_its_moment_or_is_sent_for(memory: MemoryBench) -> None:
    this = Try(context(memory), Driver(memory).accepted().id, A, 1)
    assert this.in_line(2_500, "why") == StepResult(Next.AGAIN, "why", 2.5)
    assert this.in_line(0, None) == StepResult(Next.LATER, "waits for its turn")


@pytest.mark.parametrize(
    ("again_in", "tries", "seconds"),
    [
        (None, 1, 0.0),
        (7_000, QUICK_LOOKS + 1, 7.0),
        (7_000, 2, 2.0),
        (7_000, QUICK_LOOKS, 7.0),
        (500, 1, 0.5),
        (-500, 1, 0.0),
    ],
)
def test_attempts_are_looked_at_when_they_can_be_settled_and_at_first_sooner(
    memory: MemoryBench, again_in: int | None, tries: int, seconds: float
) -> None:
    create = Driver(memory).accepted()
    view = memory.memory.view(create.id, A)
    again = None if again_in is None else Millis(view.now + again_in)
    this = LookTry(context(memory), create.id, A, tries, view, create.step(A))
    assert this.await_settling(again).delay == seconds


@pytest.mark.parametrize(
    ("said", "behind"),
    [
        ([1, 2], False),
        ([1, 3], False),
        ([1, 1], True),
        ([1, "OK"], True),
        ([redis.ConnectionError("gone"), 2], True),
    ],
)
def test_replicas_are_behind_unless_enough_of_them_say_otherwise(
    said: Sequence[object], behind: bool
) -> None:
    replicas = Replicas("fence", 2, 100)
    wrong = replicas.missing(said)
    assert bool(wrong) is behind
    assert replicas.behind is behind


def test_only_a_rollback_makes_hosts_pending(redis_bench: RedisBench, server: RedisServer) -> None:
    create = Driver(redis_bench).accepted()
    for host in (A, B):
        create.begin(host, f"{host}1")
    assert (standing(server)["pending_hosts"], standing(server)["open_attempts"]) == (0, 2)
    create.roll_back()
    assert (standing(server)["pending_hosts"], standing(server)["open_attempts"]) == (2, 2)


def test_the_deadline_binds_what_is_undecided_and_nothing_after(redis_bench: RedisBench) -> None:
    def looked_at() -> float | None:
        return redis_bench.client.zscore(f"{PREFIX}due", create.id)

    create = Driver(redis_bench)
    create.store = redis_bench.limited(sweep_patience=1_000_000)
    create.accepted(deadline=100_000)
    create.begin(A, "a1")
    assert looked_at() == create.kept().deadline_at
    create.roll_back()
    create.claim()
    assert (looked_at() or 0) > create.kept().deadline_at


def test_what_a_step_came_to_is_told_with_what_happened_to_its_host(memory: MemoryBench) -> None:
    driver = Driver(memory).accepted()
    driver.begin(A, "a1")
    driver.finish(A, "a1", Effect.REFUSED, "POST 403")

    def told(result: StepResult, operation: OperationId = driver.id) -> str | None:
        return with_story(context(memory), operation, A, result).story

    happened = story(driver.action, driver.step(A), driver.kept().decided_at).text
    assert told(StepResult(Next.DONE, "403")) == happened
    assert told(StepResult(Next.FAILED, "refused: 403")) == f"refused: 403; {happened}"
    assert told(StepResult(Next.LATER, "429", delay=5.0)) is None
    assert told(StepResult(Next.DONE, "403", story="known")) == "known"
    assert told(StepResult(Next.DONE, "403"), OperationId("nothing is known of this")) is None


@pytest.mark.parametrize(
    ("action", "came"), [(Action.CREATE, Outcome.UNCHANGED), (Action.DELETE, Outcome.REFUSED)]
)
def test_a_group_too_large_to_read_is_there_and_cannot_be_brought_back(
    memory: MemoryBench, action: Action, came: Outcome
) -> None:
    driver = Driver(memory, action=action).accepted((A,))
    forward(bench.context(memory, Node(LARGE)), driver.id, GROUP, action, A, 1)
    assert driver.step(A).outcome is came
