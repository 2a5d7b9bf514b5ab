"""A warning that comes over and over does not fill the disk."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from worker.telemetry.logs import Calm

clock = [0.0]


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    clock[0] = 0.0
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(Calm(lambda: clock[0]))
    made = logging.getLogger("calm")
    made.propagate = False
    made.setLevel(logging.INFO)
    made.addHandler(handler)
    yield made, text
    made.removeHandler(handler)


def test_of_each_kind_two_a_second_are_written_and_the_others_counted(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    log, text = logger
    for number in range(100):
        log.warning("no answer from %s", number)
        log.error("cannot connect")
    clock[0] = 1.5
    log.warning("no answer from %(name)s", {"name": "another kind"})
    log.warning("no answer from %s", "x")
    log.warning("no answer from %s", "y")
    clock[0] = 3.0
    log.warning("no answer from %s", "z")
    assert text.getvalue().splitlines() == [
        "no answer from 0",
        "cannot connect",
        "no answer from 1",
        "cannot connect",
        "no answer from another kind",
        "no answer from x (and 98 more like it before)",
        "no answer from y",
        "no answer from z",
    ]


def test_what_is_no_warning_is_written_always(logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, text = logger
    for _ in range(50):
        log.info("task done")
    assert len(text.getvalue().splitlines()) == 50
