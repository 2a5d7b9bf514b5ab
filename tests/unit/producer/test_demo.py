"""The demo's words where it does not go as promised, and its table on a terminal."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lockstep.producer.cli.commands import watch
from lockstep.producer.cli.commands.watch import host_lines
from lockstep.producer.cli.report import came_to
from lockstep.producer.demo import play
from lockstep.producer.process import UNWRITTEN
from lockstep.producer.stack import Stack, StackError
from lockstep.worker.operation.errors import WaitTimeout
from lockstep.worker.operation.model import AttemptState, HostName, Millis, Outcome, State, Step, Undo
from tests.unit.producer.samples import OPERATION, attempt

DONE = replace(
    OPERATION,
    state=State.COMMITTED,
    ended=True,
    hosts_done=2,
    decided_at=Millis(OPERATION.created_at + 1_500),
    ended_at=Millis(OPERATION.created_at + 4_000),
)
STEPS = [
    Step(HostName("node1"), outcome=Outcome.APPLIED, attempts=(attempt("a1"),)),
    Step(HostName("node2"), misses=2),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the demo may empty."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


class Nodes:
    """What each node holds at the end."""

    def __init__(self, **held: dict[str, Any] | None) -> None:
        self.held = held

    def nodes(self) -> list[str]:
        return list(self.held)

    def groups(self, node: str) -> dict[str, Any]:
        held = self.held[node]
        return {} if held is None else {"team-a": held}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], str]]:
    """Follow a create of team-a to its end; return the promises that were broken, and what was shown."""

    def follow(ends: Any, promised: State, *, terminal: bool = False, **held: Any) -> tuple[list[str], str]:
        shown = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr(sys, "stdout", shown)
        nodes: Any = Nodes(**held)
        demo = play.Demo(Console(width=120, force_terminal=terminal), SimpleNamespace(), nodes)  # type: ignore[arg-type]
        seen = [(OPERATION, STEPS, OPERATION)] * 2 + [(ends, STEPS, ends)]
        operation: Any = SimpleNamespace(
            action="create", group="team-a", status=lambda: ends, steps=lambda: STEPS,
            watch_hosts=lambda: iter(seen), wait_end=lambda timeout: None,
        )  # fmt: skip
        demo._follow(operation, promised, demo._everywhere("team-a"))
        return demo.broken, shown.getvalue()

    return follow


Followed = Callable[..., tuple[list[str], str]]


def test_what_was_not_kept_is_named(followed: Followed) -> None:
    ours = {"groupId": "team-a"}
    assert followed(DONE, State.COMMITTED, node1=ours, node2=ours)[0] == []
    broken, shown = followed(DONE, State.ROLLED_BACK, node1=ours, node2=None)
    assert broken == [
        "create team-a ended committed, not rolled_back",
        "after create team-a, node2 holds None, not {'groupId': 'team-a'}",
    ]
    assert "present ✓" in shown
    assert "absent ✗" in shown


def test_an_operation_that_does_not_end_is_given_up(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play, "LONGEST", -1.0)
    with pytest.raises(WaitTimeout, match="create team-a has not ended within"):
        followed(DONE, State.COMMITTED, node1=None)


def test_in_a_file_each_change_is_a_line_and_on_a_terminal_it_is_drawn_over(followed: Followed) -> None:
    ours = {"groupId": "team-a"}
    _, plain = followed(DONE, State.COMMITTED, node1=ours, node2=ours)
    assert "\x1b" not in plain
    assert [line for line in plain.splitlines() if line and line[0] != " "] == [
        "node1  -  changed by its write  1  -",
        "node2  -  nothing sent yet  0  -",
        "create team-a: applying, 0 of 3 hosts done (operation 7f3c)",
        "node1  -  changed by its write before the decision  1  -",
        "node2  -  not changed: nothing was sent  0  -",
        "create team-a: committed, 2 of 3 hosts done (operation 7f3c)",
    ]
    assert "create team-a  committed in 1.5 s; lost writes settled after 4.0 s" in plain

    _, drawn = followed(DONE, State.COMMITTED, terminal=True, node1=ours, node2=ours)
    assert "node2  -  nothing sent yet" not in drawn
    assert "\x1b[?25l" in drawn, "no cursor while it draws"
    assert drawn.rindex("\x1b[?25h") < drawn.rindex("committed")


def test_what_was_drawn_while_it_went_on_makes_room_for_the_end(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []

    def follow(*_: object, **how: object) -> None:
        drawn.append(how)

    monkeypatch.setattr(watch, "follow", follow)
    followed(DONE, State.COMMITTED, node1=None, node2=None)
    assert drawn == [{"transient": True}]


@pytest.mark.parametrize("error", [StackError("no port is free"), OSError("no memory [red]")])
def test_what_keeps_the_demo_from_starting_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Stack) -> None:
        raise error

    monkeypatch.setattr(Stack, "start", fails)
    assert play.main() == 1
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_broken_promise_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"redis_url": "redis://127.0.0.1:1/0", "hosts": "http://127.0.0.1:1"}
    stack: Any = SimpleNamespace(
        start=lambda: None, stop=lambda: None, settings=settings, admin_url="http://127.0.0.1:1"
    )
    monkeypatch.setattr(play.Demo, "run", lambda demo: demo.broken.append("node2 holds [nothing]"))
    assert play.play(stack, Console()) == 1
    said = capsys.readouterr().out
    assert said.endswith("Broken: node2 holds [nothing]\n")
    assert "as promised" not in said


def test_a_demo_whose_words_went_nowhere_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    def begin() -> int:
        print("a word")
        return 0

    monkeypatch.setattr(play, "begin", begin)
    monkeypatch.setattr("sys.stdout.write", full)
    assert play.main() == UNWRITTEN
    assert "No space left on device" in capsys.readouterr().err


def test_a_host_that_was_at_work_when_it_was_decided_is_told_of_in_words() -> None:
    decided = replace(DONE, state=State.ROLLED_BACK)
    changed, undoing = attempt("a1"), attempt("u1", undo=True)
    failed = replace(changed, state=AttemptState.NOT_APPLIED)
    steps = [
        Step(HostName("node1"), attempts=(changed,), undo=Undo.NEEDED),
        Step(HostName("node1"), attempts=(changed, undoing), undo=Undo.RESTORED),
        Step(HostName("node1"), attempts=(failed,)),
    ]
    words = ["changed, to be undone", "changed, undone", "not changed"]
    assert [came_to(decided, step) for step in steps] == words


def test_a_host_that_is_being_written_to_is_told_from_one_that_was_not() -> None:
    begun = Step(HostName("node1"), attempts=(attempt("a1"),))
    assert host_lines(OPERATION, (begun, Step(HostName("node2"))))[:2] == [
        ("node1", "node1  -  changed by its write  1  -"),
        ("node2", "node2  -  nothing sent yet  0  -"),
    ]
