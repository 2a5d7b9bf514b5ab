"""Of several writes to a host the story tells the last."""

from __future__ import annotations

import pytest

from lockstep.worker.operation.model import Action, Millis, Outcome, Step, Undo
from lockstep.worker.operation.story import Proof, story
from tests.unit.operation.writes import APPLIED, DECIDED, DONE, LAID, LOST, NOT, OPEN, SETTLED, step, write


@pytest.mark.parametrize(
    ("host", "decided_at", "undone", "text"),
    [
        (step(LOST, write("b", OPEN, None)), None, None, "one of its 2 writes is under way"),
        (
            step(LAID, write("b", SETTLED, "500", 9000), outcome=Outcome.UNKNOWN, undo=Undo.RESTORED),
            DECIDED,
            None,
            "not changed: looks proved that one of its 2 writes (500) had no effect",
        ),
        (
            step(LOST, write("b", OPEN, "500"), undo=Undo.NEEDED),
            DECIDED,
            None,
            "perhaps changed by one of its 2 writes (500), to be undone",
        ),
        (
            step(LOST, write("b", NOT, "403", 300), write("c", OPEN, "500"), undo=Undo.NEEDED),
            DECIDED,
            None,
            "perhaps changed by writes 1 or 3 of 3 (500), to be undone",
        ),
        (
            step(
                DONE,
                write("u", NOT, "403", 1900, undo=True),
                write("v", APPLIED, "204", 2000, undo=True),
                outcome=Outcome.APPLIED,
                undo=Undo.RESTORED,
            ),
            DECIDED,
            Proof.ANSWER,
            "changed by its write before the decision, undone: DELETE answered 204",
        ),
    ],
)
def test_the_last_of_several_is_told(
    host: Step, decided_at: Millis | None, undone: Proof | None, text: str
) -> None:
    told = story(Action.CREATE, host, decided_at)
    assert (told.undone, told.text) == (undone, text)
