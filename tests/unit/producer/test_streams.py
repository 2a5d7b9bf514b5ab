"""stdout and stderr of a command, and what begins it."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lockstep.producer.process import UNWRITTEN, SafeStream, begin, interruptible, outlets
from tests.children import in_child
from tests.unit.producer.test_discovery import descriptors


def text(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


def test_a_stream_is_as_the_one_below_it_and_escapes_what_that_cannot_write() -> None:
    below = text("ascii")
    stream = SafeStream(below)
    assert (stream.gone, stream.lost, stream.encoding, stream.errors) == (
        False,
        None,
        "ascii",
        "backslashreplace",
    )
    assert stream.write("caf\u00e9") == 4
    stream.flush()
    assert cast(io.BytesIO, below.buffer).getvalue() == b"caf\\xe9"
    plain = SafeStream(io.StringIO())
    assert (plain.gone, plain.encoding, plain.errors) == (False, "utf-8", "strict")


class Terminal(io.StringIO):
    broken = False

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        if self.broken:
            raise OSError(5, "Input/output error")


def test_a_terminal_is_one_until_it_is_gone() -> None:
    terminal = Terminal()
    stream = SafeStream(terminal)
    assert stream.isatty()
    assert not SafeStream(io.StringIO()).isatty()
    terminal.broken = True
    stream.flush()
    assert (stream.isatty(), stream.gone, stream.lost) == (False, True, "Input/output error")


def test_what_a_stream_still_holds_goes_nowhere_once_its_reader_is_gone() -> None:
    """Python writes it at exit, and would complain."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as below:
        stream = SafeStream(below)
        assert stream.fileno() == write
        stream.write("a word")
        stream.flush()
        assert (stream.gone, stream.lost) == (True, None)
        assert os.path.samestat(os.fstat(write), Path(os.devnull).stat())


def test_within_the_block_both_streams_are_outlets_and_they_are_written_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, err = text("utf-8"), text("utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    opened = descriptors()
    with outlets() as shown:
        assert shown is sys.stdout
        assert isinstance(sys.stderr, SafeStream)
        print("a word")
        print("a complaint", file=sys.stderr)
    for after, before in ((sys.stdout, out), (sys.stderr, err)):
        assert cast(object, after) is before
    written = [cast(io.BytesIO, each.buffer).getvalue() for each in (out, err)]
    assert written == [b"a word\n", b"a complaint\n"]
    assert descriptors() == opened


def test_no_connection_takes_the_place_of_a_stream_that_is_closed() -> None:
    def opened() -> tuple[int, list[bool]]:
        for number in range(3):
            os.close(number)
        with outlets():
            nowhere = [os.path.samestat(os.fstat(each), Path(os.devnull).stat()) for each in range(3)]
            return os.open("/", os.O_RDONLY), nowhere

    number, nowhere = in_child(opened)
    assert (number > 2, nowhere) == (True, [True] * 3)


def test_a_thread_hears_no_signals() -> None:
    def within() -> bool:
        with interruptible():
            return threading.current_thread() is threading.main_thread()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(within).result() is False


def test_ctrl_c_before_a_command_has_begun_ends_it_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []

    def main() -> int:
        heard.append(signal.getsignal(signal.SIGINT))
        return 7

    monkeypatch.setitem(sys.modules, "a_command", SimpleNamespace(main=main))
    before = signal.getsignal(signal.SIGINT)
    try:
        assert begin("a_command") == 7
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIG_DFL]
    assert UNWRITTEN == os.EX_IOERR == 74
