"""Lines in a pipe end with their text."""

from __future__ import annotations

import io
import os
import pty
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.live import Live
from rich.padding import Padding

from lockstep.producer.stack.command import PlainConsole, show, trimmed
from lockstep.producer.stack.processes import FLOWER_PORT
from tests.waits import read_until


def test_padding_is_left_out_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    PlainConsole().print(Padding("one\n\n  two", (1, 5, 1, 2)))
    assert capsys.readouterr().out == "\n  one\n\n    two\n\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a  \n", "a\n"),
        ("a  b \n", "a  b\n"),
        ("a\n  \n b", "a\n\n b"),
        ("a  ", "a"),
    ],
)
def test_blanks_are_kept_unless_a_line_ends_with_them(
    capsys: pytest.CaptureFixture[str], text: str, shown: str
) -> None:
    PlainConsole(stderr=True).print(text, end="")
    assert capsys.readouterr().err == shown


def test_a_pipe_has_each_line_at_once() -> None:
    class Pipe(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    pipe = Pipe()
    PlainConsole(file=pipe).print("here")
    assert pipe.flushed == "here\n"


def test_tabs_are_no_space_to_be_trimmed() -> None:
    assert trimmed("a\t\n") == "a\t\n"


def test_a_terminal_gets_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    PlainConsole().print("a  ", end="\n ")
    assert capsys.readouterr().out == "a  \n "


def test_drawing_on_a_terminal_does_not_write_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0), os.fdopen(theirs, "w") as terminal:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", terminal)
            with Live(console=PlainConsole(), auto_refresh=False) as live:
                live.update("drawn", refresh=True)
                print("printed")  # goes through the proxy that rich puts in the place of stdout
            terminal.flush()
        read_until(ours, "drawn", "printed")


def test_a_console_is_collected_in_silence_when_its_stream_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.13 on, what raises while it is collected is told."""
    gone = io.TextIOWrapper(io.BytesIO())
    gone.close()
    monkeypatch.setattr("sys.stdout", gone)
    PlainConsole()


@pytest.mark.parametrize(("port", "warned"), [(None, False), (FLOWER_PORT, False), (FLOWER_PORT + 1, True)])
def test_who_runs_a_stack_is_told_that_flower_has_another_port(
    port: int | None, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    stack: Any = SimpleNamespace(
        redis_url="redis://127.0.0.1:1/0",
        nodes={"node1": "http://127.0.0.1:2"},
        admin_url="http://127.0.0.1:3",
        flower_url=port and f"http://127.0.0.1:{port}",
        directory=Path("logs"),
    )
    show(stack, ())
    said = capsys.readouterr()
    assert (f"Port {FLOWER_PORT} is taken, so Flower has another one." in said.out + said.err) is warned
