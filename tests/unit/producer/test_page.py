"""The page of an operation with waves, to the character: `page.html` beside this file has its body."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lockstep.producer.cli.report import WIDTH, Scale, chart, page
from lockstep.worker.operation.model import (
    AttemptState,
    HostName,
    Millis,
    Moment,
    Outcome,
    RolloutState,
    Stage,
    Status,
    Step,
    Undo,
)
from tests.unit.producer.stories import ABSENT, ROLLED_BACK, START, STEPS, write
from tests.unit.zones import zone

END = 40_000
MOMENTS = (
    Moment(Millis(START), "wave", 1),
    Moment(Millis(START + 8000), "done", 1),
    Moment(Millis(START + 9000), "held", 1, "bob: let me look"),
    Moment(Millis(START + 15_000), "released", 1, "eve"),
    Moment(Millis(START + 15_500), "wave", 2),
)
OPERATION = replace(
    ROLLED_BACK,
    ended_at=Millis(START + END),
    rollout=RolloutState(2, 3, Stage.WAITING, None, None, None, moments=MOMENTS),
)
CLOSE = tuple(write(f"i{opened}", opened, opened + 10) for opened in (1000, 1256, 1511))
"""A bar is 256 ms wide at least, so that the second ends as the first ends, and the third before that."""
TOUCHING = (write("k", 3000, 4000), write("l", 4000, None, AttemptState.OPEN, None))
NAMES = (
    "node1",
    "node2.eu-central.lan",
    "node3",
    "node4",
    "node5.eu-central.org.x",
    "node6",
    "node7",
    "node8",
)
LAST = (
    Step(HostName("node7"), before=ABSENT, outcome=Outcome.APPLIED, attempts=CLOSE),
    Step(HostName("node8"), before=ABSENT, outcome=Outcome.UNKNOWN, undo=Undo.NEEDED, attempts=TOUCHING),
)
PLACED = [
    replace(step, host=HostName(name), wave=2 - number % 2)
    for number, (step, name) in enumerate(zip((*STEPS, *LAST), NAMES, strict=True))
]
"""Labels of 20 characters and of more, and hosts of the second wave first."""
DIFFERENCES = {
    HostName("node1"): ("- description: old", "+ description: new"),
    HostName("node3"): ("- description: old", "+ description: new"),
    HostName("node2.eu-central.lan"): (),
}


def body(operation: Status) -> str:
    with zone("UTC"):
        text = page(operation, PLACED, Millis(START), DIFFERENCES)
    return text.partition("<body>\n")[2]


def test_the_body_of_a_page() -> None:
    assert body(OPERATION) == (Path(__file__).parent / "page.html").read_text("utf-8")


@pytest.mark.parametrize(("span", "ticks"), [(1, 2), (7, 8), (8, 9), (9, 5), (10, 6)])
def test_a_tick_stands_at_each_end_of_a_scale_and_none_beyond(span: int, ticks: int) -> None:
    drawn = chart(OPERATION, (), Millis(START + span))
    assert drawn.count('text-anchor="middle"') == ticks
    assert ">0 ms</text>" in drawn


def test_the_end_of_a_scale_is_its_right_end() -> None:
    assert Scale(Millis(0), Millis(1)).x(1) == Scale(Millis(0), Millis(9)).x(10**9) == WIDTH - 190
