"""What Ctrl-C does: the first ends in order, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """This process was told to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number
        """What a shell expects of a process that a signal ended: 130 for Ctrl-C."""


@contextlib.contextmanager
def stoppable(end_at_once: Callable[[], None]) -> Iterator[None]:
    """Within the block the first signal raises Stopped; the next calls `end_at_once` and exits at once."""
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            try:
                end_at_once()
            finally:
                os._exit(128 + number)
        told = True
        raise Stopped(number)

    # Under nohup a closed terminal is to be ignored, and it stays so.
    heard = [one for one in SIGNALS if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
