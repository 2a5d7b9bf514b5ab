"""A command as a process of its shell: what becomes of its output and of signals."""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Iterator

import pytest

from lockstep.producer.process import SafeStream, Stopped, interruptible, stoppable


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == [signal.SIG_DFL] * 3, "as they were before"
    for number, each in zip(numbers, before, strict=True):
        signal.signal(number, each)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_and_the_second_ends_it_at_once(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def leave(status: int) -> None:
        ended.append(f"exit {status}")
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    with stoppable(lambda: ended.append("at once")):
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(number)
        assert (str(stopped.value), stopped.value.exit_status) == (number.name, 128 + number)
        assert ended == []
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
    assert ended == ["at once", "exit 143"]


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable(lambda: None):
        signal.raise_signal(signal.SIGHUP)
    with interruptible():
        signal.raise_signal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, before)


def test_a_signal_that_is_sent_twice_interrupts_once() -> None:
    with interruptible():
        with pytest.raises(Stopped, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL, "Ctrl-C is left as it is"


def test_what_is_written_to_a_stream_that_was_closed_before_the_start_is_lost() -> None:
    stream = SafeStream(None)
    assert (stream.gone, stream.isatty(), stream.lost) == (True, False, None)
    assert (stream.encoding, stream.errors) == ("utf-8", "strict")
    stream.flush()
    assert (stream.write(""), stream.lost) == (0, None), "nothing was to be written"
    assert (stream.write("text"), stream.lost) == (4, os.strerror(errno.EBADF))
    with pytest.raises(io.UnsupportedOperation):
        stream.fileno()


class Full(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception = error
        self.tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ValueError("I/O operation on closed file"), "I/O operation on closed file"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), None),
    ],
)
def test_the_first_write_that_fails_is_the_last(error: Exception, lost: str | None) -> None:
    """A reader that went away has lost nothing."""
    full = Full(error)
    stream = SafeStream(full)
    assert (stream.write("one"), stream.write("another")) == (3, 7)
    assert (full.tries, stream.gone, stream.lost) == (1, True, lost)


@pytest.mark.parametrize("last", [True, False])
def test_after_the_last_block_of_a_process_a_signal_that_was_heard_is_heard_no_more(last: bool) -> None:
    """What comes while the process goes would end it with another status than it has told."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with interruptible(last=last):
            pass
        assert {number: signal.getsignal(number) for number in before} == before, "none was heard"
        with pytest.raises(Stopped), interruptible(last=last):
            signal.raise_signal(signal.SIGTERM)
        after = {number: signal.getsignal(number) for number in before}
        assert after == (dict.fromkeys(before, signal.SIG_IGN) if last else before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
