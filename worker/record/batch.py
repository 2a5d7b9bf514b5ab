"""Group commit: what many threads ask for at the same time goes out in one round trip."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from lockstep.worker.forks import renew_in_children
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId

Argument = str | int | float
Arguments = tuple[Argument, ...]
Kind = tuple[str, OperationId]
"""A script's name and the operation that it runs on: calls of one kind are served by one run."""
Send = Callable[[Mapping[Kind, Sequence[Arguments]]], Mapping[Kind, Sequence[object] | Exception]]
MOST = 256
"""Calls sent at once, so that Redis is not held up for long."""
LINGER = 0.003
"""Seconds for which a call waits for others before it is sent, while they come in quickly: fewer and larger
runs cost less CPU here and in Redis, and fewer fsyncs."""
QUICK, WITHIN = 8, 0.02
"""They come in quickly when so many came within so many seconds."""


class _Call:
    __slots__ = ("arguments", "asked_at", "kind", "left", "reply")

    def __init__(self, kind: Kind, arguments: Arguments) -> None:
        self.kind = kind
        self.arguments = arguments
        self.asked_at = time.monotonic()
        self.left = False
        """Whoever asked was interrupted: what has not been sent yet need not be."""
        self.reply: SimpleQueue[tuple[object, Exception | None]] = SimpleQueue()


_Calls = SimpleQueue[_Call | None]
"""None ends the sender."""


class Gathering:
    """Threads put their calls into a queue, from which one thread of its own sends all that wait.

    A caller shares nothing with the others but that queue, and waits for its reply in a queue of its own, so
    whatever interrupts it leaves nothing behind: both queues are C code, which an exception cannot come into.
    """

    def __init__(self, send: Send) -> None:
        """`send` must hold no reference to this object, or its thread never ends."""
        self._send = send
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        """Forget every call and the thread that sends; the next call starts one."""
        self._calls: _Calls = SimpleQueue()
        self._starting = threading.Lock()
        self._sender: threading.Thread | None = None

    def __del__(self) -> None:
        """End the thread."""
        self._calls.put(None)

    def run(self, kind: Kind, arguments: Arguments) -> object:
        """Return the reply to one call, or raise what its sending or its script raised.

        Whoever is interrupted, by Ctrl-C for example, cannot know whether the call was sent.
        """
        if self._sender is None:
            self._start()
        call = _Call(kind, arguments)
        try:
            self._calls.put(call)
            reply, error = call.reply.get()
        except BaseException:
            call.left = True
            raise
        if error is not None:
            raise error
        return reply

    def _start(self) -> None:
        with self._starting:
            if self._sender is None:
                sender = threading.Thread(
                    target=_send_all, args=(self._calls, self._send), name="gathering", daemon=True
                )
                sender.start()
                # Only now: whoever is interrupted before leaves it to the next, and two senders do no harm.
                self._sender = sender


def _send_all(calls: _Calls, send: Send) -> None:
    """Send what is in the queue, together, until None is."""
    arrivals: deque[float] = deque(maxlen=QUICK)
    while (first := calls.get()) is not None:
        together = [first]
        _take(calls, together)
        arrivals.extend(call.asked_at for call in together)
        now = time.monotonic()
        if len(arrivals) == QUICK and now - arrivals[0] < WITHIN:
            time.sleep(max(0.0, first.asked_at + LINGER - now))
            gathered = len(together)
            _take(calls, together)
            arrivals.extend(call.asked_at for call in together[gathered:])
        if wanted := [call for call in together if not call.left]:
            _serve(wanted, send)
    calls.put(None)  # for another sender


def _take(calls: _Calls, together: list[_Call]) -> None:
    while len(together) < MOST:
        try:
            call = calls.get_nowait()
        except Empty:
            return
        if call is None:
            calls.put(None)
            return
        together.append(call)


def _serve(calls: Sequence[_Call], send: Send) -> None:
    kinds: dict[Kind, list[_Call]] = {}
    for call in calls:
        kinds.setdefault(call.kind, []).append(call)
    try:
        replies = send({kind: [call.arguments for call in same] for kind, same in kinds.items()})
        for kind, same in kinds.items():
            reply = replies[kind]
            if isinstance(reply, Exception):
                for call in same:
                    call.reply.put((None, reply))
                continue
            for call, own in zip(same, reply, strict=True):
                call.reply.put((own, None))
    except BaseException as error:  # noqa: BLE001 - a thread has nobody to raise it to
        # To those that have a reply already it comes too late to matter.
        told = error if isinstance(error, Exception) else StoreUnavailable("sending was interrupted")
        for call in calls:
            call.reply.put((None, told))
