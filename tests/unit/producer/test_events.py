"""Which events are looked into at once."""

from __future__ import annotations

import pytest

from lockstep.worker.record.events import is_decisive


@pytest.mark.parametrize("what", ["decided", "ended", "abandoned"])
def test_ends_and_decisions_are_decisive(what: str) -> None:
    assert is_decisive(f'{{"what":"{what}","at":1}}')


@pytest.mark.parametrize("what", ["step", "attempt", "answer", "look", "waits"])
def test_progress_is_not_decisive(what: str) -> None:
    assert not is_decisive(f'{{"what":"{what}","host":"node1","at":1}}')


@pytest.mark.parametrize("event", ["", "[]", "{}", "null", "no json", 1])
def test_what_cannot_be_read_is_looked_into(event: object) -> None:
    assert is_decisive(event)
