"""Calls that come again when what they were about is over: a connection that was given up may deliver one."""

from __future__ import annotations

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import AttemptState, Step
from lockstep.worker.operation.transitions import Forward, Progress
from tests.contract.bench import LIMITS, Bench
from tests.contract.contents import OLD, TARGET, Thing
from tests.contract.driver import A, B, Driver


def fates(step: Step) -> list[tuple[str, AttemptState]]:
    return [(each.id, each.state) for each in step.attempts]


def test_no_attempt_is_opened_twice(create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.NOT_APPLIED)
    kept = create.step(A)
    assert create.begin(A, "a1") == Progress(Forward.OVER)
    assert create.step(A) == kept
    assert create.counts().open == 0
    assert create.begin(A, "a2") == Progress(Forward.SEND)


def test_no_attempt_of_the_inverse_is_opened_twice(create: Driver) -> None:
    create.undoing(A)
    create.begin_undo(A, "u1")
    create.finish_undo(A, "u1", Effect.REFUSED)
    kept = create.step(A)
    assert create.begin_undo(A, "u1") is Forward.OVER
    assert create.step(A) == kept


def test_no_attempt_at_a_thing_is_opened_twice(bench: Bench) -> None:
    thing = Thing(bench).accepted().written(A)
    kept = thing.step(A)
    assert thing.shown(A, "a1", OLD).next is Forward.OVER
    bench.pass_time(LIMITS.send_within + LIMITS.call + LIMITS.settle)
    assert thing.shown(A, "a1", OLD).next is Forward.OVER, "a look of before the write tells nothing of it"
    assert thing.step(A) == kept


def test_no_attempt_to_restore_a_thing_is_opened_twice(bench: Bench) -> None:
    thing = Thing(bench).accepted().written(A).roll_back()
    assert thing.restore(A, TARGET).next is Forward.SEND
    thing.wrote(A, "u1", Effect.APPLIED)
    kept = thing.step(A)
    assert thing.restore(A, TARGET).next is Forward.OVER
    assert thing.step(A) == kept


def test_what_said_nothing_while_a_write_was_open_says_nothing_when_it_comes_again(create: Driver) -> None:
    create.begin(A, "a1")
    create.finish(A, "a1", Effect.UNKNOWN, "202")
    create.begin(A, "a2")
    create.finish(A, "a2", Effect.CONTESTED, "409")
    create.bench.pass_time(LIMITS.send_within + LIMITS.call + LIMITS.settle)
    assert create.finish(A, "a2", Effect.CONTESTED, "409").next is Forward.OPEN
    assert create.step(A).outcome is None


def test_an_answer_that_a_look_has_explained_says_nothing_when_it_comes_again(bench: Bench) -> None:
    thing = Thing(bench).accepted(A, B, retries=None)
    thing.written(A, Effect.UNKNOWN)
    thing.shown(A, "a2", OLD)
    thing.wrote(A, "a2", Effect.CONTESTED)
    assert thing.shown(A, "a3", OLD).next is Forward.SEND, "one of ours may land: the answer is explained"
    thing.wrote(A, "a3", Effect.NOT_SENT)
    thing.wrote(A, "a1", Effect.NOT_SENT)
    thing.wrote(A, "a2", Effect.CONTESTED)
    assert thing.shown(A, "a4", OLD).next is Forward.SEND
