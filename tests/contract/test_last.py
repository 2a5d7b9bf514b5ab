"""The step that gives the last host its outcome commits the operation, without waiting for the callback."""

from __future__ import annotations

from lockstep.worker.clock import SystemClock
from lockstep.worker.operation.answer import ProbeAnswer, Probed, WriteAnswer, Wrote
from lockstep.worker.operation.backoff import Backoff
from lockstep.worker.operation.model import Action, AttemptId, Decision, GroupId, HostName, Outcome, Seen
from lockstep.worker.operation.states import State
from lockstep.worker.steps import Next, Parts, forward
from lockstep.worker.store.base import Forward, Progress, Verdict
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import ABSENT, GROUP, PRESENT, A, B, Driver


class Host:
    """A host that does as it is told."""

    def __init__(self, name: HostName, seen: Seen, wrote: Wrote) -> None:
        self.fingerprint = f"url-of-{name}"
        self._seen, self._wrote = seen, wrote

    def probe(self, group: GroupId) -> ProbeAnswer:
        return ProbeAnswer(Probed.SEEN, "GET", self._seen)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        return WriteAnswer(self._wrote, "said")


def step(
    bench: Bench, create: Driver, host: HostName, seen: Seen = ABSENT, wrote: Wrote = Wrote.APPLIED
) -> Next:
    backoff = Backoff(1, 8)
    found = Host(host, seen, wrote)
    parts = Parts(bench.store, lambda _: found, SystemClock(), LIMITS, backoff, backoff, 60.0)
    return forward(parts, create.id, GROUP, Action.CREATE, host, 1).next


def test_the_finish_of_the_last_host_says_so(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(B, "b1")
    assert create.finish(A, "a1", Verdict.APPLIED) == Progress(Forward.DONE, outcome=Outcome.APPLIED)
    assert create.finish(B, "b1", Verdict.APPLIED).last


def test_so_does_a_look_that_finds_the_last_host_as_asked(create: Driver) -> None:
    create.apply(A)
    assert create.begin(B, "b1", PRESENT) == Progress(Forward.DONE, outcome=Outcome.UNCHANGED, last=True)


def test_it_is_said_once(create: Driver) -> None:
    create.apply(A, B)
    assert not create.finish(B, "b1", Verdict.APPLIED).last
    assert not create.begin(A, "a2").last


def test_the_last_step_commits(bench: Bench, create: Driver) -> None:
    assert step(bench, create, A) is Next.DONE
    assert create.tally().decision is None
    assert step(bench, create, B) is Next.DONE
    assert create.kept().state is State.COMMITTED
    assert create.kept().ended


def test_the_last_step_commits_what_was_there_already(bench: Bench, create: Driver) -> None:
    create.apply(A)
    assert step(bench, create, B, PRESENT) is Next.DONE
    assert create.kept().state is State.COMMITTED


def test_the_last_step_commits_nothing_once_another_has_failed(bench: Bench, create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Verdict.REFUSED)  # its worker is killed before it decides
    assert step(bench, create, B) is Next.DONE
    assert create.tally().decision is None
    assert create.decide(Decision.ROLL_BACK) is Decision.ROLL_BACK
