"""A spared host is a miss for a forward step, and nothing to what comes after the decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, Flaw, WriteAnswer
from lockstep.worker.operation.errors import ReasonKind
from lockstep.worker.operation.host import Backoff, MaySend, WriteLimit
from lockstep.worker.operation.model import Action, AttemptId, Decision, GroupId, HostName, Outcome, State
from lockstep.worker.steps.apply import Next, StepContext, forward
from lockstep.worker.steps.rollback import rollback, settle
from tests.contract.bench import LIMITS, SETTLED, MemoryBench
from tests.contract.driver import ABSENT, GROUP, PRESENT, A, B, Driver
from tests.groups_alone import GroupsAlone

WHY = "not sent: spared for 23 s: 10 looks in a row failed (answer lost: read timeout)"


class Host(GroupsAlone):
    """A host that answers, and holds nothing."""

    fingerprint = "url-of-a"

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.SEEN, "404", ABSENT)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(Effect.APPLIED, "201")


class SilentHost(Host):
    """The same, while it is spared."""

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.NO_INFORMATION, WHY, flaw=Flaw.SILENT)


@pytest.fixture
def create(memory: MemoryBench) -> Driver:
    create = Driver(memory)
    create.retries = None
    return create.accepted((A,))


@pytest.fixture
def context(memory: MemoryBench) -> StepContext:
    def spared(_: HostName) -> Host:
        return SilentHost()

    return StepContext(
        memory.memory, lambda _: Host(), SystemClock(), LIMITS, Backoff(1, 8), Backoff(1, 60), 60.0, spared
    )


def test_a_spared_look_counts_as_a_miss_and_fails_the_step_in_the_end(
    create: Driver, context: StepContext
) -> None:
    for tries in range(1, LIMITS.host_patience + 1):
        assert forward(context, create.id, GROUP, Action.CREATE, A, tries).next is Next.AGAIN
        create.bench.pass_time(1)
    last = forward(context, create.id, GROUP, Action.CREATE, A, LIMITS.host_patience + 1)
    over = f"GET {WHY}; no usable answer for too long"
    assert (last.next, last.text) == (Next.FAILED, over)
    assert create.step(A).outcome is Outcome.UNREACHABLE
    assert create.step(A).attempts == ()
    assert create.kept().decision is Decision.ROLL_BACK
    assert create.kept().reason == f"a: {over}"
    assert create.step(A).why is ReasonKind.SILENT, "it did not answer"


def test_a_rollback_asks_and_writes_all_the_same(create: Driver, context: StepContext) -> None:
    create.begin(A, "a1")
    create.roll_back()
    create.bench.pass_time(SETTLED)
    for _ in range(4):
        rollback(context, create.id, A, 1)
        create.bench.pass_time(SETTLED)
    assert create.kept().state is State.ROLLED_BACK


def test_settling_asks_all_the_same(create: Driver, context: StepContext) -> None:
    create.begin(A, "a1")
    create.begin(A, "a2", seen=None)
    create.apply(A)
    create.commit()
    create.bench.pass_time(SETTLED)
    settle(context, create.id, A, 1)
    create.bench.pass_time(SETTLED)
    assert settle(context, create.id, A, 2).text == "settled"
    assert create.kept().ended


class ChangedHost(Host):
    """One that holds what is to be undone."""

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.SEEN, "200", PRESENT)


def test_a_task_that_waits_for_its_turn_says_what_for_and_where_in_line(memory: MemoryBench) -> None:
    memory.limit(a=WriteLimit(1))
    one, two, three = (Driver(memory, name) for name in ("one", "two", "three"))
    for each in (one, two, three):
        each.store.accept(each.request((A, B), GroupId(each.id)))
    one.begin(A, "a1")
    one.finish(A, "a1", Effect.APPLIED)
    two.begin(A, "a2")
    one.roll_back()
    backoff = Backoff(1, 8)
    context = StepContext(
        memory.memory, lambda _: Host(), SystemClock(), LIMITS, backoff, backoff, 60.0, lambda _: Host()
    )
    waiting = forward(context, three.id, GroupId(three.id), Action.CREATE, A, 1)
    undoing = rollback(replace(context, host=lambda _: ChangedHost()), one.id, A, 1)
    said = "waits for one of 1 writes at a, number 1 in line"
    assert [(each.next, each.text) for each in (waiting, undoing)] == [(Next.LATER, said)] * 2
