from __future__ import annotations

import itertools

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import Backoff, MaySend
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    OperationId,
    Outcome,
    Seen,
    State,
    Undo,
)
from lockstep.worker.operation.transitions import Forward, Progress, Refusal
from lockstep.worker.steps.apply import Next, StepContext, forward
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import ABSENT, GROUP, PRESENT, A, B, C, Driver
from tests.groups_alone import GroupsAlone

COMMIT, ROLL_BACK = Decision.COMMIT, Decision.ROLL_BACK
WAYS: dict[str, tuple[Seen, Effect | None, bool | None]] = {
    "none": (ABSENT, None, None),
    "applied": (ABSENT, Effect.APPLIED, True),
    "unchanged": (PRESENT, None, True),
    "refused": (ABSENT, Effect.REFUSED, False),
}
"""To an outcome: what a look shows, what came of the write if there was one, and whether it is as asked."""


def go(create: Driver, host: HostName, way: str) -> bool | None:
    """Bring a host to an outcome in this way; return whether it is as asked, None for no outcome yet."""
    seen, verdict, good = WAYS[way]
    create.begin(host, f"{host}1", seen)
    if verdict:
        create.finish(host, f"{host}1", verdict)
    return good


@pytest.mark.parametrize("ways", list(itertools.product(WAYS, WAYS)), ids="-".join)
def test_the_outcome_of_the_last_or_of_a_failing_host_decides(create: Driver, ways: tuple[str, str]) -> None:
    first, second = go(create, A, ways[0]), None
    if first is False:
        assert create.kept().decision is ROLL_BACK, "without waiting for the others"
        assert create.begin(B, "b1").next is Forward.OVER
    else:
        assert create.kept().decision is None
        second = go(create, B, ways[1])
        decided = ROLL_BACK if second is False else COMMIT if first and second else None
        assert create.kept().decision is decided
    if False in (first, second):
        assert create.kept().reason == f"{A if first is False else B} refused (said)"


@pytest.mark.parametrize("ways", list(itertools.product(WAYS, WAYS)), ids="-".join)
def test_a_deadline_that_is_found_passed_decides_what_no_outcome_has(
    still: Bench, ways: tuple[str, str]
) -> None:
    create = Driver(still).accepted(deadline=1_000)
    for host, way in zip((A, B), ways, strict=True):
        go(create, host, way)
    decided = create.kept().decision
    still.pass_time(999)
    create.claim()
    assert create.kept().decision is decided
    still.pass_time(1)
    create.claim()
    assert create.kept().decision is (decided or ROLL_BACK)
    if not decided:
        assert create.kept().reason == "the deadline passed"


def test_the_last_outcome_commits_although_the_deadline_has_passed(still: Bench) -> None:
    create = Driver(still).accepted(deadline=1_000).apply(A)
    create.begin(B, "b1")
    still.pass_time(1_001)
    create.finish(B, "b1", Effect.APPLIED)
    assert create.kept().decision is COMMIT


def test_an_outcome_finds_the_deadline_passed(still: Bench) -> None:
    create = Driver(still).accepted(deadline=1_000)
    create.begin(A, "a1")
    still.pass_time(1_000)
    assert create.finish(A, "a1", Effect.APPLIED).outcome is Outcome.APPLIED
    assert (create.kept().decision, create.kept().reason) == (ROLL_BACK, "the deadline passed")


def test_the_first_decision_holds_for_ever(create: Driver) -> None:
    create.begin(B, "b1")
    create.apply(A).roll_back("first")
    create.finish(B, "b1", Effect.APPLIED)
    kept = create.kept()
    create.bench.pass_time(2)
    assert create.store.cancel(create.id, "second") is Refusal.ROLLING_BACK
    create.claim(resume=True)
    assert create.kept() == kept
    assert kept.reason == "cancelled by first"


def test_a_commit_is_not_undone_by_a_late_failure(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(A, "a2", PRESENT)
    create.apply(B).commit()
    create.finish(A, "a1", Effect.REFUSED)
    assert create.kept().state is State.COMMITTED


@pytest.mark.parametrize("way", ["applied", "unchanged", "refused"])
def test_whoever_asks_again_hears_what_it_heard_before_the_decision(create: Driver, way: str) -> None:
    create.apply(A)
    seen, verdict, _ = WAYS[way]
    first = create.begin(B, "b1", seen)
    if verdict:
        first = create.finish(B, "b1", verdict)
        assert create.finish(B, "b1", verdict) == first
    assert create.begin(B, "b2", seen) == first
    assert create.missed(B, "p1") == first


def test_rolling_back_names_the_touched_hosts_as_pending(create: Driver) -> None:
    create.begin(A, "a1")
    create.roll_back()
    kept = create.kept()
    assert (kept.state, kept.pending_hosts) == (State.ROLLING_BACK, (A,))
    assert (create.step(A).undo, create.step(B).undo) == (Undo.NEEDED, Undo.NONE)


def test_rolling_back_what_nobody_touched_is_the_end(create: Driver) -> None:
    create.begin(A, "a1", PRESENT)
    create.roll_back()
    assert (create.kept().state, create.kept().ended) == (State.ROLLED_BACK, True)
    assert not create.locked()


def test_the_caller_of_a_commit_is_answered_while_attempts_settle(create: Driver) -> None:
    create.apply(B)
    create.begin(A, "a1")
    quiet = create.attempt(A, "a1").quiet_at
    create.begin(A, "a2", PRESENT)
    create.commit()
    kept = create.kept()
    assert (kept.state, kept.settling, kept.ended) == (State.COMMITTED, True, False)
    due = create.step(A).due_at
    assert due is not None
    assert quiet <= due <= max(quiet, create.bench.now()), (
        "the sweep is to look at it once its window is over"
    )
    create.bench.pass_time(LIMITS.send_within + LIMITS.call)
    assert create.due()


def test_a_decision_ends_the_waits_of_forward_steps(create: Driver) -> None:
    create.begin(A, "a1")
    create.store.postpone(create.id, A, 600_000, "Retry-After")
    create.roll_back()
    assert create.step(A).due_at is None


def test_nobody_decides_an_unknown_operation(create: Driver) -> None:
    create.id = OperationId("unknown")
    keys = create.bench.key_names()
    assert create.store.claim(create.id) is None
    assert create.store.cancel(create.id, "no") is Refusal.UNKNOWN
    assert create.bench.key_names() == keys


def test_cancel_rolls_back_and_asks_the_sweep_to_come_at_once(create: Driver) -> None:
    create.begin(A, "a1")
    assert not create.due()
    assert create.store.cancel(create.id, "ann") is None
    assert (create.kept().state, create.kept().reason) == (State.ROLLING_BACK, "cancelled by ann")
    assert create.due()
    assert create.store.cancel(create.id, "ann") is None
    assert create.store.cancel(create.id, "bob") is Refusal.ROLLING_BACK


def test_cancel_after_commit_is_refused(create: Driver) -> None:
    create.apply(A, B).commit()
    kept = create.kept()
    assert create.store.cancel(create.id, "too late") is Refusal.COMMITTED
    assert create.kept() == kept


@pytest.mark.parametrize("decision", [COMMIT, ROLL_BACK])
def test_outcomes_outlive_the_decision(bench: Bench, decision: Decision) -> None:
    create = Driver(bench).accepted((A, B) if decision is COMMIT else (A, B, C)).apply(A, B)
    if decision is ROLL_BACK:
        create.roll_back()
    assert create.kept().decision is decision
    assert [create.step(host).outcome for host in (A, B)] == [Outcome.APPLIED] * 2


class Host(GroupsAlone):
    """A host that does as it is told."""

    def __init__(self, name: HostName, seen: Seen, wrote: Effect) -> None:
        self.fingerprint = f"url-of-{name}"
        self._seen, self._wrote = seen, wrote

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.SEEN, "GET", self._seen)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(self._wrote, "said")


def step(
    bench: Bench, create: Driver, host: HostName, seen: Seen = ABSENT, wrote: Effect = Effect.APPLIED
) -> Next:
    backoff = Backoff(1, 8)
    found = Host(host, seen, wrote)
    context = StepContext(
        bench.store, lambda _: found, SystemClock(), LIMITS, backoff, backoff, 60.0, lambda _: found
    )
    return forward(context, create.id, GROUP, Action.CREATE, host, 1).next


def test_the_last_step_commits(bench: Bench, create: Driver) -> None:
    assert step(bench, create, A) is Next.DONE
    assert create.kept().decision is None
    assert step(bench, create, B) is Next.DONE
    assert create.kept().state is State.COMMITTED
    assert create.kept().ended


def test_the_last_step_commits_what_was_there_already(bench: Bench, create: Driver) -> None:
    create.apply(A)
    assert step(bench, create, B, PRESENT) is Next.DONE
    assert create.kept().state is State.COMMITTED


def test_a_step_that_fails_rolls_back_and_the_others_write_nothing(bench: Bench, create: Driver) -> None:
    assert step(bench, create, A, wrote=Effect.REFUSED) is Next.FAILED
    assert step(bench, create, B) is Next.OVER
    assert create.kept().state is State.ROLLED_BACK or create.kept().pending_hosts == (A,)
    assert create.begin(B, "late") == Progress(Forward.OVER)
