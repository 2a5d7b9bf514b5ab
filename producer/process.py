"""A command as a process of its shell: streams that may not be written to, and signals that end it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TextIO, cast

UNWRITTEN = 74
"""What a command exits with when its answer could not be written to stdout: EX_IOERR of sysexits.h."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begin(module: str) -> int:
    """Import a module and run its command; Ctrl-C before that has begun ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return int(import_module(module).main())


class SafeStream(io.TextIOBase):
    """stdout or stderr; once it cannot be written to, whatever follows is dropped and nothing is raised."""

    def __init__(self, stream: TextIO | None) -> None:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        self._stream = stream
        self._trouble: Exception | None = None

    @property
    def gone(self) -> bool:
        """Whether nothing that is written arrives any more."""
        return self._trouble is not None or self._stream is None

    @property
    def lost(self) -> str | None:
        """Why something could not be written, in a few words; None if its reader is gone."""
        if self._trouble is None or isinstance(self._trouble, BrokenPipeError):
            return None
        return getattr(self._trouble, "strerror", None) or str(self._trouble)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "errors", None) or "strict"

    def isatty(self) -> bool:
        return self._stream is not None and not self.gone and self._stream.isatty()

    def fileno(self) -> int:
        return super().fileno() if self._stream is None else self._stream.fileno()

    def write(self, text: str) -> int:
        if self._stream is not None:
            self._attempt(self._stream.write, text)
        elif text:
            self._trouble = OSError(errno.EBADF, os.strerror(errno.EBADF))
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._attempt(self._stream.flush)

    def _attempt(self, do: Callable[..., object], *arguments: str) -> None:
        if self._trouble is not None:
            return
        try:
            do(*arguments)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self._trouble = error
            with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())  # what the stream still holds is flushed at exit


@contextlib.contextmanager
def outlets() -> Iterator[SafeStream]:
    """Within the block stdout and stderr are outlets; yield that of stdout."""
    # A connection that took the descriptor of a closed stream would be sent what is meant for the stream.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    before = sys.stdout, sys.stderr
    both = SafeStream(sys.stdout), SafeStream(sys.stderr)
    sys.stdout, sys.stderr = cast(tuple[TextIO, TextIO], both)
    try:
        yield both[0]
    finally:
        for each in both:
            each.flush()
        sys.stdout, sys.stderr = before


class Stopped(KeyboardInterrupt):
    """This process was told to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number
        """What a shell expects of a process that a signal ended: 130 for Ctrl-C."""


@contextlib.contextmanager
def stoppable(end_at_once: Callable[[], None]) -> Iterator[None]:
    """Within the block the first signal raises Stopped; the next calls `end_at_once` and exits at once."""

    def exit_now(number: int) -> None:
        try:
            end_at_once()
        finally:
            os._exit(128 + number)

    # Under nohup a closed terminal is to be ignored, and it stays so.
    with _stopped_by([one for one in SIGNALS if one != signal.SIGHUP or not _ignored(one)], exit_now):
        yield


@contextlib.contextmanager
def interruptible(*, last: bool = False) -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise Stopped, once: `timeout` and terminals send them twice.

    If the block is the `last` of the process, more of them are not heard after it either. Ctrl-C raises
    KeyboardInterrupt each time, as ever. What this process was started to ignore, it ignores.
    """
    here = threading.current_thread() is threading.main_thread()  # no other may say what a signal does
    heard = [one for one in SIGNALS[1:] if here and not _ignored(one)]
    with _stopped_by(heard, lambda number: None, last=last):
        yield


def _ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


@contextlib.contextmanager
def _stopped_by(
    numbers: list[signal.Signals], again: Callable[[int], None], *, last: bool = False
) -> Iterator[None]:
    """Within the block the first of these signals raises Stopped; each that follows calls `again`."""
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            again(number)
        else:
            told = True
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, signal.SIG_IGN if told and last else each)
