"""Every path through a host's states has its own story, the same in every view."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.model import Action, AttemptId, Millis, Outcome, Step, Undo
from lockstep.worker.operation.story import Proof, Story, story
from tests.unit.operation.writes import (
    ABSENT,
    APPLIED,
    DECIDED,
    DONE,
    GIVEN_UP,
    LAID,
    LATE,
    LOST,
    NOT,
    OPEN,
    PRESENT,
    REFUSED,
    SETTLED,
    UNDO,
    step,
    write,
)

TABLE: list[tuple[str, Step, Millis | None, tuple[bool | None, str | None, bool | None, str | None], str]] = [
    # While nothing is decided.
    ("not begun", step(before=None), None, (False, None, None, None), "nothing sent yet"),
    ("seen, not begun", step(), None, (False, None, None, None), "nothing sent yet"),
    ("under way", step(write("a", OPEN, None)), None, (None, None, None, None), "its write is under way"),
    (
        "answer lost",
        step(LOST),
        None,
        (None, None, None, None),
        "perhaps changed by its write (answer lost: read timeout)",
    ),
    ("applied", step(DONE, outcome=Outcome.APPLIED), None, (True, "a", False, None), "changed by its write"),
    # Committed.
    (
        "committed",
        step(DONE, outcome=Outcome.APPLIED),
        DECIDED,
        (True, "a", False, None),
        "changed by its write before the decision",
    ),
    (
        "committed at the second write",
        step(REFUSED, write("b", APPLIED, "201", 800), outcome=Outcome.APPLIED),
        DECIDED,
        (True, "b", False, None),
        "changed by write 2 of 2 before the decision",
    ),
    (
        "seen after a lost answer, settling",
        step(LOST, outcome=Outcome.APPLIED),
        DECIDED,
        (True, "a", False, None),
        (
            "changed by its write before the decision (answer lost: read timeout; a look showed it)"
            ", a write of it may still land"
        ),
    ),
    (
        "seen after a lost answer, settled",
        step(LAID, outcome=Outcome.APPLIED),
        DECIDED,
        (True, "a", False, None),
        "changed by its write before the decision (answer lost: read timeout; a look showed it)",
    ),
    (
        "the second write found it there already",
        step(LAID, write("b", NOT, "400", 600), outcome=Outcome.APPLIED),
        DECIDED,
        (True, "a", False, None),
        "changed by write 1 of 2 before the decision (answer lost: read timeout; a look showed it)",
    ),
    (
        "one of two lost answers",
        step(LAID, write("b", SETTLED, "500", 9000), outcome=Outcome.APPLIED),
        DECIDED,
        (True, None, False, None),
        "changed by one of its 2 writes before the decision (500; a look showed it)",
    ),
    (
        "so before",
        step(before=PRESENT, outcome=Outcome.UNCHANGED),
        DECIDED,
        (False, None, None, None),
        "not changed: it was present before",
    ),
    (
        "so before, as its write was told",
        step(write("a", NOT, "400", 300), before=PRESENT, outcome=Outcome.UNCHANGED),
        DECIDED,
        (False, None, None, None),
        "not changed: it was present before",
    ),
    # Rolled back: nothing was changed.
    (
        "never answered",
        step(before=None, outcome=Outcome.UNREACHABLE),
        DECIDED,
        (False, None, None, None),
        "not changed: nothing was sent",
    ),
    ("not begun", step(), DECIDED, (False, None, None, None), "not changed: nothing was sent"),
    (
        "refused, not yet looked at again",
        step(REFUSED, outcome=Outcome.REFUSED, undo=Undo.NEEDED),
        DECIDED,
        (False, None, None, None),
        "not changed: its write had no effect (403), to be confirmed by a look",
    ),
    (
        "refused",
        step(REFUSED, outcome=Outcome.REFUSED, undo=Undo.RESTORED),
        DECIDED,
        (False, None, None, None),
        "not changed: its write had no effect (403)",
    ),
    (
        "none of several had an effect",
        step(
            REFUSED,
            write("b", NOT, "not sent: refused", 500),
            outcome=Outcome.UNREACHABLE,
            undo=Undo.RESTORED,
        ),
        DECIDED,
        (False, None, None, None),
        "not changed: none of its 2 writes had an effect (not sent: refused)",
    ),
    (
        "a lost answer that never took effect",
        step(LAID, outcome=Outcome.UNKNOWN, undo=Undo.RESTORED),
        DECIDED,
        (False, None, None, None),
        "not changed: looks proved that its write (answer lost: read timeout) had no effect",
    ),
    (
        "a lost answer, of which two looks are not all that is needed",
        step(LAID, outcome=Outcome.UNKNOWN, undo=Undo.NEEDED),
        DECIDED,
        (None, None, None, None),
        "perhaps changed by its write (answer lost: read timeout), to be undone",
    ),
    (
        "a lost answer, of which a person gave up before it was restored",
        step(
            write("a", GIVEN_UP, "answer lost: read timeout", 9000),
            outcome=Outcome.UNKNOWN,
            undo=Undo.RESTORED,
        ),
        DECIDED,
        (None, None, None, None),
        "perhaps changed by its write (answer lost: read timeout)",
    ),
    # Rolled back: it was changed.
    (
        "to be undone",
        step(DONE, outcome=Outcome.APPLIED, undo=Undo.NEEDED),
        DECIDED,
        (True, "a", False, None),
        "changed by its write before the decision, to be undone",
    ),
    (
        "undone",
        step(DONE, UNDO, outcome=Outcome.APPLIED, undo=Undo.RESTORED),
        DECIDED,
        (True, "a", False, "answer"),
        "changed by its write before the decision, undone: DELETE answered 200",
    ),
    (
        "changed after the decision, then undone",
        step(LATE, UNDO, undo=Undo.RESTORED),
        DECIDED,
        (True, "a", True, "answer"),
        "changed by its write after the decision, undone: DELETE answered 200",
    ),
    (
        "changed after the decision, to be undone",
        step(LATE, undo=Undo.NEEDED),
        DECIDED,
        (True, "a", True, None),
        "changed by its write after the decision, to be undone",
    ),
    (
        "a lost answer that a look showed, then undone",
        step(LAID, UNDO, undo=Undo.RESTORED),
        DECIDED,
        (True, "a", None, "look"),
        (
            "changed by its write, before or after the decision is not known"
            " (answer lost: read timeout; a look showed it), undone: a look showed it as before"
        ),
    ),
    (
        "one of two lost answers that a look showed, to be undone",
        step(LOST, write("b", OPEN, "500"), UNDO, undo=Undo.NEEDED),
        DECIDED,
        (True, None, None, None),
        (
            "changed by one of its 2 writes, before or after the decision is not known"
            " (500; a look showed it), to be undone"
        ),
    ),
    (
        "undone, and the answer to that was lost",
        step(DONE, write("u", SETTLED, "500", 9000, undo=True), outcome=Outcome.APPLIED, undo=Undo.RESTORED),
        DECIDED,
        (True, "a", False, "look"),
        "changed by its write before the decision, undone: a look showed it as before",
    ),
    (
        "undone while another write was open",
        step(
            DONE,
            write("u", APPLIED, "200", 2000, undo=True, clean=False),
            outcome=Outcome.APPLIED,
            undo=Undo.RESTORED,
        ),
        DECIDED,
        (True, "a", False, "look"),
        "changed by its write before the decision, undone: a look showed it as before",
    ),
    (
        "in doubt, to be undone",
        step(LOST, outcome=Outcome.UNKNOWN, undo=Undo.NEEDED),
        DECIDED,
        (None, None, None, None),
        "perhaps changed by its write (answer lost: read timeout), to be undone",
    ),
    # An operator gave up on it.
    (
        "given up",
        step(
            DONE, write("u", GIVEN_UP, "500", 9000, undo=True), outcome=Outcome.APPLIED, undo=Undo.ABANDONED
        ),
        DECIDED,
        (True, "a", False, None),
        "changed by its write before the decision, given up before it was undone",
    ),
    (
        "given up in doubt",
        step(write("a", GIVEN_UP, "reset", 9000), outcome=Outcome.UNKNOWN, undo=Undo.ABANDONED),
        DECIDED,
        (None, None, None, None),
        "perhaps changed by its write (reset), given up before that was known",
    ),
    (
        "committed, and given up while it settled",
        step(write("a", GIVEN_UP, "reset", 9000), outcome=Outcome.APPLIED, abandoned_at=Millis(9000)),
        DECIDED,
        (True, "a", False, None),
        "changed by its write before the decision (reset; a look showed it)",
    ),
]


@pytest.mark.parametrize(
    ("path", "host", "decided_at", "facts", "text"), TABLE, ids=[row[0] for row in TABLE]
)
def test_each_path_has_its_story(
    path: str,
    host: Step,
    decided_at: Millis | None,
    facts: tuple[bool | None, AttemptId | None, bool | None, Proof | None],
    text: str,
) -> None:
    assert story(Action.CREATE, host, decided_at) == Story(*facts, text)


@pytest.mark.parametrize(
    ("answered", "closed", "late"),
    [(999, 1001, False), (None, 1001, True), (1001, 1002, True), (1000, 1000, False), (None, None, False)],
)
def test_a_change_is_late_when_the_host_answered_after_the_decision(
    answered: int | None, closed: int | None, late: bool
) -> None:
    said = {"answered_at": answered and Millis(answered), "closed_at": closed and Millis(closed)}
    told = story(Action.CREATE, step(replace(write("a", APPLIED, "201", 1), **said)), DECIDED)  # type: ignore[arg-type]
    assert told.changed_late is late


def test_a_delete_is_told_in_its_own_words() -> None:
    gone = step(before=ABSENT, outcome=Outcome.UNCHANGED)
    assert story(Action.DELETE, gone, DECIDED).text == "not changed: it was absent before"
    undone = step(DONE, write("u", APPLIED, "201", 2000, undo=True), before=PRESENT, undo=Undo.RESTORED)
    assert story(Action.DELETE, undone, DECIDED).text.endswith("undone: POST answered 201")
