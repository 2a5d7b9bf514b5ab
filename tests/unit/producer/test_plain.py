"""Lines in a pipe end with their text."""

from __future__ import annotations

import io
import os
import pty

import pytest
from rich.live import Live
from rich.padding import Padding

from lockstep.producer.stack.command import TrimmedStream, console
from tests.waiting import read_until


def test_padding_is_left_out_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(Padding("one\n\n  two", (1, 5, 1, 2)))
    assert capsys.readouterr().out == "\n  one\n\n    two\n\n"


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["a  ", "\n"], "a\n"),
        (["a ", " b \n"], "a  b\n"),
        (["a\n", "  \n", " b"], "a\n\n b"),
        (["a  "], "a"),
        (["a\t\n"], "a\t\n"),
    ],
)
def test_blanks_are_kept_unless_a_line_ends_with_them(
    capsys: pytest.CaptureFixture[str], pieces: list[str], shown: str
) -> None:
    stream = TrimmedStream(stderr=True)
    for piece in pieces:
        assert stream.write(piece) == len(piece)
    assert capsys.readouterr().err == shown


def test_a_terminal_gets_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    TrimmedStream().write("a  \n ")
    assert capsys.readouterr().out == "a  \n "


def test_drawing_on_a_terminal_does_not_write_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0), os.fdopen(theirs, "w") as terminal:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", terminal)
            with Live(console=console(), auto_refresh=False) as live:
                live.update("drawn", refresh=True)
                print("printed")  # goes through the proxy that rich puts in the place of stdout
            terminal.flush()
        read_until(ours, "drawn", "printed")


def test_it_goes_in_silence_when_its_stream_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.13 on, what raises while it is collected is told."""
    gone = io.TextIOWrapper(io.BytesIO())
    gone.close()
    monkeypatch.setattr("sys.stdout", gone)
    TrimmedStream().close()
