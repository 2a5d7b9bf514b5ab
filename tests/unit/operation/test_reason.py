from __future__ import annotations

import pytest

from lockstep.worker.operation.errors import LockstepError, ReasonKind, told, told_of
from lockstep.worker.operation.model import Outcome
from tests.twin.record import SUCCEEDED


@pytest.mark.parametrize(
    ("why", "detail", "text"),
    [
        (ReasonKind.REFUSED, "403", "node4 refused (403)"),
        (ReasonKind.MISDIRECTED, "302", "node4 misdirected (302)"),
        (ReasonKind.NO_TIME, "GET 503", "node4: GET 503; the deadline leaves no time for another try"),
        (ReasonKind.SILENT, "GET timed out", "node4: GET timed out; no usable answer for too long"),
        (ReasonKind.UNREADABLE, "GET 200, unreadable", "node4: GET 200, unreadable"),
        (None, "GET 503", "node4: GET 503"),
        (None, "all 5 writes spent (500)", "node4: all 5 writes spent (500)"),
        (None, "refused (403)", "node4: refused (403)"),
    ],
)
def test_why_a_host_fails_an_operation_reads_as_a_sentence(
    why: ReasonKind | None, detail: str, text: str
) -> None:
    assert told_of("node4", why, detail) == text
    assert text.endswith(told(why, detail))


def test_what_concerns_no_host_names_none() -> None:
    assert told_of(None, ReasonKind.DEADLINE, "") == "the deadline passed"
    assert told_of(None, ReasonKind.CANCELLED, "ann: wrong group") == "cancelled by ann: wrong group"
    assert told_of(None, None, "node4 refused (403)") == "node4 refused (403)", "as releases before kept it"


def test_which_outcomes_are_successes() -> None:
    assert {Outcome.APPLIED, Outcome.UNCHANGED} == SUCCEEDED


def test_an_error_is_one_line_with_its_remedy() -> None:
    assert str(LockstepError("it is wrong")) == "it is wrong"
    assert str(LockstepError("it is wrong", "mend it")) == "it is wrong; mend it"
