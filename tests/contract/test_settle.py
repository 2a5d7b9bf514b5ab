from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, AttemptState, Millis, OperationId, State, Undo
from lockstep.worker.operation.transitions import Settled
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import ABSENT, PRESENT, A, B, Driver

QUIET = LIMITS.send_within + LIMITS.call
UNSETTLED = Settled(restored=False, open=0, again_at=None)


@pytest.fixture
def unknown(create: Driver) -> Driver:
    """A create being rolled back, with one write to host a of unknown fate."""
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN)
    return create.roll_back()


@pytest.fixture
def exact(still: Bench) -> Driver:
    """The same on the twin, where a moment can be chosen to the millisecond."""
    create = Driver(still).accepted()
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN)
    return create.roll_back()


def test_two_looks_far_enough_apart_settle_an_attempt(unknown: Driver) -> None:
    unknown.bench.pass_time(QUIET)
    first = unknown.look(A, ABSENT)
    attempt = unknown.attempt(A, "a1")
    assert (first.open, first.restored, attempt.state) == (1, False, AttemptState.OPEN)
    assert attempt.probed_at is not None
    assert first.again_at == attempt.probed_at + LIMITS.settle
    unknown.bench.pass_time(LIMITS.settle)
    assert unknown.look(A, ABSENT) == UNSETTLED
    assert unknown.attempt(A, "a1").state is AttemptState.SETTLED
    assert unknown.kept().pending_hosts == (A,), "what it showed was seen while the attempt was open"
    assert unknown.look(A, ABSENT).restored is True
    assert unknown.kept().state is State.ROLLED_BACK


def test_a_settled_host_is_put_on_the_patrol_list(unknown: Driver) -> None:
    unknown.bench.pass_time(QUIET)
    unknown.look(A, ABSENT)
    assert unknown.bench.patrol() == set()
    unknown.bench.pass_time(LIMITS.settle)
    unknown.look(A, ABSENT)
    assert unknown.bench.patrol() == {("g", "a", "present")}


def test_a_look_before_the_attempt_is_quiet_is_no_first_look(create: Driver) -> None:
    create.store = create.bench.limited(call=600_000)
    create.begin(A, "a1")
    create.roll_back()
    said = create.look(A, ABSENT)
    assert said.again_at == create.attempt(A, "a1").quiet_at
    assert create.attempt(A, "a1").probed_at is None


def test_the_first_look_stays_the_first(unknown: Driver) -> None:
    unknown.bench.pass_time(QUIET)
    unknown.store = unknown.bench.limited(settle=600_000)
    unknown.look(A, ABSENT)
    first = unknown.attempt(A, "a1").probed_at
    unknown.bench.pass_time(3)
    assert unknown.look(A, ABSENT).open == 1
    assert unknown.attempt(A, "a1").probed_at == first


def test_the_host_must_show_what_it_held_before(unknown: Driver) -> None:
    unknown.bench.pass_time(QUIET)
    unknown.look(A, PRESENT)
    unknown.bench.pass_time(LIMITS.settle)
    unknown.look(A, PRESENT)
    assert unknown.attempt(A, "a1").state is AttemptState.SETTLED
    assert unknown.look(A, PRESENT).restored is False
    assert unknown.step(A).undo is Undo.NEEDED


def test_a_look_that_began_beside_an_open_attempt_proves_nothing(unknown: Driver) -> None:
    unknown.finish(A, "a1", Effect.NOT_APPLIED)
    assert unknown.look(A, ABSENT, open_before=1).restored is False
    assert unknown.look(A, ABSENT, open_before=0).restored is True


def test_a_look_that_ends_beside_an_open_attempt_proves_nothing(create: Driver) -> None:
    create.apply(A).roll_back()
    create.begin_undo(A, "u1")
    assert create.look(A, ABSENT, open_before=0).restored is False


def test_a_committed_operation_ends_when_its_last_attempt_is_settled(create: Driver) -> None:
    create.begin(A, "a1")
    create.begin(A, "a2", PRESENT)
    create.apply(B).commit()
    create.bench.pass_time(QUIET)
    create.look(A, PRESENT)
    assert create.locked()
    create.bench.pass_time(LIMITS.settle)
    assert create.look(A, PRESENT) == UNSETTLED
    assert (create.kept().state, create.kept().ended) == (State.COMMITTED, True)
    assert not create.locked()


def test_looking_at_what_has_ended_or_never_was_changes_nothing(create: Driver) -> None:
    create.apply(A, B).commit()
    keys, kept = create.bench.key_names(), create.step(A)
    assert create.look(A, ABSENT) == UNSETTLED
    assert create.step(A) == kept
    create.id = OperationId("unknown")
    assert create.look(A, ABSENT, open_before=0) == UNSETTLED
    assert create.bench.key_names() == keys


@pytest.mark.parametrize(("early", "counts"), [(1, False), (0, True)])
def test_the_first_look_is_sent_when_the_attempt_is_quiet_and_not_a_millisecond_before(
    exact: Driver, early: int, counts: bool
) -> None:
    exact.bench.pass_time(600_000)
    sent = Millis(exact.attempt(A, "a1").quiet_at - early)
    exact.look(A, ABSENT, sent_at=sent)
    looked = exact.bench.now() if counts else None
    assert exact.attempt(A, "a1").probed_at == looked, "the first look counts from when it was answered"


@pytest.mark.parametrize(("early", "state"), [(1, AttemptState.OPEN), (0, AttemptState.SETTLED)])
def test_the_second_look_is_sent_settle_after_the_first_was_answered(
    exact: Driver, early: int, state: AttemptState
) -> None:
    exact.bench.pass_time(QUIET)
    sent = exact.bench.now()
    exact.bench.pass_time(7)  # the first answer takes its time
    exact.look(A, ABSENT, sent_at=sent)
    answered = exact.bench.now()
    exact.bench.pass_time(600_000)
    exact.look(A, ABSENT, sent_at=Millis(answered + LIMITS.settle - early))
    assert exact.attempt(A, "a1").state is state


def test_each_attempt_has_a_window_of_its_own(still: Bench) -> None:
    create = Driver(still).accepted()
    create.begin(A, "a1")
    still.pass_time(QUIET)
    create.begin(A, "a2")
    create.roll_back()
    assert create.look(A, ABSENT).again_at == still.now() + LIMITS.settle
    still.pass_time(LIMITS.settle)
    said = create.look(A, ABSENT)
    assert create.attempt(A, "a1").state is AttemptState.SETTLED
    assert said == replace(UNSETTLED, open=1, again_at=create.attempt(A, "a2").quiet_at)


def test_a_delete_is_restored_when_the_group_is_back(bench: Bench) -> None:
    delete = Driver(bench, action=Action.DELETE).accepted().apply(A).roll_back()
    assert delete.look(A, ABSENT).restored is False
    assert delete.look(A, PRESENT).restored is True
