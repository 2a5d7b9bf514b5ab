"""How long a forward step goes on trying: the deadline bounds it, and a host's silence sooner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, Flaw, WriteAnswer
from lockstep.worker.operation.errors import ReasonKind, told
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, AttemptId, Decision, GroupId, HostName, Outcome, Seen
from lockstep.worker.operation.transitions import Forward, Miss, Progress
from lockstep.worker.steps.apply import ELSEWHERE, Next, forward
from tests.contract.bench import LIMITS, Bench, MemoryBench, context
from tests.contract.driver import ABSENT, GROUP, LONG, A, Driver
from tests.groups_alone import GroupsAlone

PATIENCE = LIMITS.host_patience
MANY = 60
NO_TIME = "; the deadline leaves no time for another try"


@pytest.fixture
def create(bench: Bench) -> Driver:
    return boundless(bench)


def boundless(bench: Bench, deadline: int = LONG) -> Driver:
    """An operation whose tries nobody counts."""
    driver = Driver(bench)
    driver.retries = None
    return driver.accepted((A,), deadline)


def test_a_host_that_answers_errors_is_asked_as_long_as_the_deadline_lets_it(create: Driver) -> None:
    for n in range(MANY):
        assert create.missed(A, f"p{n}") == Progress(Forward.MISSED, misses=n + 1)
        create.bench.pass_time(2)
    said = create.missed(A, "another")
    assert 0 < said.left <= LONG - MANY
    assert create.step(A).outcome is None


def test_a_host_whose_writes_fail_is_written_to_as_long_as_the_deadline_lets_it(create: Driver) -> None:
    for n in range(MANY):
        assert create.begin(A, f"a{n}").next is Forward.SEND
        said = create.finish(A, f"a{n}", Effect.UNKNOWN, "500")
        assert said.next is Forward.OPEN
        assert 0 < said.left <= LONG
    assert create.begin(A, "last").next is Forward.SEND


def test_a_silent_host_is_given_up_after_the_patience(create: Driver) -> None:
    assert silent(create, "p1").next is Forward.MISSED
    assert silent(create, "p2").next is Forward.MISSED
    create.bench.pass_time(PATIENCE)
    assert silent(create, "p3").next is Forward.FAILED
    step = create.step(A)
    assert (step.outcome, step.why) == (Outcome.UNREACHABLE, ReasonKind.SILENT)
    assert told(step.why, step.reason or "").endswith("; no usable answer for too long")


def test_patience_with_a_silent_host_ends_to_the_millisecond(still: Bench) -> None:
    create = boundless(still)
    silent(create, "p1")
    still.pass_time(PATIENCE - 1)
    assert silent(create, "p2").next is Forward.MISSED
    still.pass_time(1)
    assert silent(create, "p3").next is Forward.FAILED


@pytest.mark.parametrize("sign", ["a miss that answered", "a look that showed something"])
def test_any_answer_begins_the_patience_anew(create: Driver, sign: str) -> None:
    silent(create, "p1")
    create.bench.pass_time(PATIENCE - 5)
    if sign == "a miss that answered":
        create.missed(A, "p2")
    else:
        create.begin(A, "a1")
    create.bench.pass_time(PATIENCE)
    assert silent(create, "p3").next is Forward.MISSED
    create.bench.pass_time(PATIENCE)
    assert silent(create, "p4").next is Forward.FAILED


def test_a_silence_told_twice_is_counted_once(create: Driver) -> None:
    silent(create, "p1")
    create.bench.pass_time(PATIENCE)
    assert silent(create, "p1").next is Forward.MISSED


def test_a_worker_that_does_not_know_the_host_spends_nothing(bench: Bench) -> None:
    create = Driver(bench)
    create.retries = 0
    create.accepted((A,))
    for n in range(MANY):
        said = create.missed(A, f"p{n}", "unknown here", Miss.UNASKED)
        assert (said.next, said.misses) == (Forward.MISSED, 0)
        assert said.left > 0
    assert create.step(A).reason == "unknown here"
    assert create.begin(A, "a1").next is Forward.SEND


def test_the_time_until_another_worker_asks_is_not_the_hosts(create: Driver) -> None:
    silent(create, "p1")
    create.missed(A, "p2", "unknown here", Miss.UNASKED)
    create.bench.pass_time(PATIENCE)
    assert silent(create, "p3").next is Forward.MISSED
    create.bench.pass_time(PATIENCE)
    assert silent(create, "p4").next is Forward.FAILED


@pytest.mark.parametrize("fatal", [None, Outcome.UNREACHABLE])
def test_what_another_address_said_counts_for_nothing(create: Driver, fatal: Outcome | None) -> None:
    kept = create.step(A)
    asked = (create.id, A, "another url", AttemptId("p"), "GET 403", Miss.UNUSABLE)
    assert create.store.missed(*asked, fatal) == Progress(Forward.ELSEWHERE, fingerprint="url-of-a")
    assert create.step(A) == kept


def test_a_forward_step_ends_with_the_decision(create: Driver) -> None:
    create.roll_back()
    assert create.missed(A, "p1", "unknown here", Miss.UNASKED).next is Forward.OVER


def silent(create: Driver, look: str) -> Progress:
    return create.missed(A, look, "GET answer lost: read timeout", Miss.UNUSABLE)


class Host(GroupsAlone):
    """Answers a GET as told, and every write with 500."""

    fingerprint = "url-of-a"

    def __init__(self, seen: Seen | None, retry_after: float | None = None) -> None:
        self.seen, self.retry_after = seen, retry_after

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        if self.seen is not None:
            return LookAnswer(LookVerdict.SEEN, "404", self.seen)
        return LookAnswer(LookVerdict.NO_INFORMATION, "503", retry_after=self.retry_after)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(Effect.UNKNOWN, "500")


class Moved(Host):
    """At an address where nobody answers."""

    fingerprint = "another url"

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.NO_INFORMATION, "answer lost: read timeout", flaw=Flaw.SILENT)


class Answers(Host):
    """A look at it brings what nobody can read, or nothing, or an error of its own."""

    def __init__(self, flaw: Flaw | None) -> None:
        super().__init__(None)
        self.flaw = flaw

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.NO_INFORMATION, "what it said", flaw=self.flaw)


@pytest.mark.parametrize("flaw", [Flaw.UNREADABLE, Flaw.SILENT, None])
def test_an_answer_that_cannot_be_read_counts_as_none_once_the_patience_is_over(
    memory: MemoryBench, flaw: Flaw | None
) -> None:
    create = boundless(memory)
    first = forward(context(memory, Answers(flaw)), create.id, GROUP, Action.CREATE, A, 1)
    assert first.next is Next.AGAIN
    memory.pass_time(PATIENCE)
    last = forward(context(memory, Answers(flaw)), create.id, GROUP, Action.CREATE, A, 2)
    assert last.next is (Next.AGAIN if flaw is None else Next.FAILED)
    assert (create.step(A).why is ReasonKind.UNREADABLE) is (flaw is Flaw.UNREADABLE)


class Works(Host):
    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(Effect.APPLIED, "201")


def test_a_host_that_was_known_until_lately_is_worked_on(memory: MemoryBench) -> None:
    create = boundless(memory)

    def host_as(name: HostName, fingerprint: str | None) -> Host | None:
        return Works(ABSENT) if fingerprint == "url-of-a" else None

    some = replace(context(memory, Moved(None)), host_as=host_as)
    assert forward(some, create.id, GROUP, Action.CREATE, A, 1).text == "applied"


def test_an_address_that_is_not_the_hosts_costs_it_no_patience(memory: MemoryBench) -> None:
    create = boundless(memory)
    for tries in range(1, 10):
        result = forward(context(memory, Moved(None)), create.id, GROUP, Action.CREATE, A, tries)
        assert (result.next, result.text) == (Next.AGAIN, ELSEWHERE)
        memory.pass_time(PATIENCE)
    assert create.step(A).misses == 0
    assert create.step(A).reason == ELSEWHERE


@pytest.mark.parametrize("host", [Host(None), Host(ABSENT), None], ids=["looks", "writes", "not known"])
def test_the_last_try_comes_while_there_is_time_for_it(memory: MemoryBench, host: Host | None) -> None:
    create = boundless(memory, deadline=5000)
    early = forward(context(memory, host), create.id, GROUP, Action.CREATE, A, 2)
    assert (early.next, early.delay) == (Next.AGAIN, 2.0)
    late = forward(context(memory, host), create.id, GROUP, Action.CREATE, A, 6)
    assert late.next is Next.AGAIN
    assert 3 < late.delay < 5, "8 s would be past the deadline"
    memory.pass_time(4900)
    over = forward(context(memory, host), create.id, GROUP, Action.CREATE, A, 7)
    assert over.next is Next.FAILED
    assert over.text.endswith(NO_TIME)
    assert create.kept().decision is Decision.ROLL_BACK
    assert create.kept().reason == f"a: {over.text}"


def test_a_wait_that_the_host_asks_for_is_never_cut(memory: MemoryBench) -> None:
    create = boundless(memory, deadline=5000)
    assert forward(context(memory, Host(None, 4)), create.id, GROUP, Action.CREATE, A, 1).delay == 4
    over = forward(context(memory, Host(None, 10)), create.id, GROUP, Action.CREATE, A, 2)
    assert (over.next, over.text) == (Next.FAILED, f"GET 503{NO_TIME}")


def test_a_longer_wait_for_the_host_is_kept_in_the_record(memory: MemoryBench) -> None:
    create = boundless(memory)
    some = replace(context(memory, Host(None, 20)), retry_after_cap=10.0)
    assert forward(some, create.id, GROUP, Action.CREATE, A, 1).next is Next.LATER
