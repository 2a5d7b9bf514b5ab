"""Steps by turns: in one thread, each waiting for answers while others go on."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from lockstep.worker.process import greenlets
from lockstep.worker.process.greenlets import Handover, side_by_side

NAMES = tuple("abcdefgh")


def always() -> bool:
    return True


def places(most: int = 8) -> threading.Semaphore:
    return threading.Semaphore(most)


def test_all_steps_wait_at_the_same_time() -> None:
    waiting: list[Handover[str]] = []

    def step(name: str) -> str:
        waiting.append(mine := Handover[str]())
        if len(waiting) == len(NAMES):
            for number, each in enumerate(waiting):
                each.bring(NAMES[number])
        return mine.wait()

    assert side_by_side(NAMES, step, always, places()) == {name: name for name in NAMES}


@pytest.mark.parametrize(("most", "at_once"), [(0, 1), (1, 1), (3, 3), (100, 8)])
def test_no_more_steps_are_at_work_than_there_are_places_but_one_always_is(most: int, at_once: int) -> None:
    free = places(most)
    at_work: list[str] = []
    seen: list[int] = []

    def step(name: str) -> None:
        at_work.append(name)
        answer = Handover[None]()
        threading.Thread(target=answer.bring, args=(None,)).start()
        answer.wait()
        seen.append(len(at_work))
        at_work.remove(name)

    assert side_by_side(NAMES, step, always, free) == dict.fromkeys(NAMES)
    assert max(seen) == at_once
    assert sum(free.acquire(blocking=False) for _ in range(most + 1)) == most, "each place is given back"


def test_what_could_not_be_begun_in_time_came_to_nothing() -> None:
    begun: list[str] = []

    def step(name: str) -> str:
        begun.append(name)
        return name

    assert side_by_side(NAMES, step, lambda: len(begun) < 3, places()) == {name: name for name in "abc"}


def test_after_a_fault_no_other_is_begun_those_that_were_end_and_it_is_raised() -> None:
    begun: list[str] = []
    ended: list[str] = []
    answers: list[Handover[None]] = []

    def step(name: str) -> None:
        begun.append(name)
        if name == "c":
            for each in answers:
                each.bring(None)
            raise LookupError(name)
        answers.append(mine := Handover[None]())
        mine.wait()
        ended.append(name)
        raise ValueError(name)

    with pytest.raises(LookupError, match="c"):
        side_by_side(NAMES, step, always, places())
    assert (begun, ended) == (["a", "b", "c"], ["a", "b"])


def test_steps_are_interrupted_with_the_thread_that_they_are_in() -> None:
    interrupted: list[str] = []
    free = places(3)
    asked: list[None] = []

    def step(name: str) -> None:
        try:
            Handover[None]().wait()
        finally:
            interrupted.append(name)

    def two_then_none() -> bool:
        asked.append(None)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        side_by_side(NAMES, step, two_then_none, free)
    assert sorted(interrupted) == ["a", "b"]
    assert sum(free.acquire(blocking=False) for _ in range(4)) == 3, "each place is given back"


def test_each_step_has_context_variables_of_its_own() -> None:
    variable = ContextVar("variable", default="outside")
    answers: list[Handover[None]] = []

    def step(name: str) -> str:
        before = variable.get()
        variable.set(name)
        answers.append(mine := Handover[None]())
        if len(answers) == len(NAMES):
            for each in answers:
                each.bring(None)
        mine.wait()
        return before + variable.get()

    assert side_by_side(NAMES, step, always, places()) == {name: f"outside{name}" for name in NAMES}
    assert variable.get() == "outside"


def test_an_answer_that_is_brought_twice_is_not_taken_for_the_next() -> None:
    def step(name: str) -> list[str]:
        first, second = Handover[str](), Handover[str]()
        for said in ("one", "late"):
            first.bring(said)
        heard = [first.wait()]
        threading.Timer(0.01, second.bring, ["two"]).start()
        return [*heard, second.wait()]

    assert side_by_side("ab", step, always, places()) == {key: ["one", "two"] for key in "ab"}


def test_a_thread_that_has_no_steps_just_waits() -> None:
    answer = Handover[str]()
    threading.Timer(0.01, answer.bring, ["said"]).start()
    assert answer.wait() == "said"


def test_where_waiting_steps_are_can_be_told() -> None:
    told: list[str] = []

    def waits_here(answer: Handover[None]) -> None:
        answer.wait()

    def step(name: str) -> None:
        if name == "a":
            answers.append(Handover())
            waits_here(answers[0])
        else:
            try:
                told.extend(greenlets.stacks())
            finally:
                answers[0].bring(None)

    answers: list[Handover[None]] = []
    side_by_side("ab", step, always, places())
    assert any("waits_here" in stack for stack in told)
