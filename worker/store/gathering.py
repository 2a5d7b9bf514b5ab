"""Group commit: what many threads ask for at the same time goes out in one round trip."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from worker.operation.errors import StoreUnavailable
from worker.operation.model import OperationId

Argument = str | int | float
Arguments = tuple[Argument, ...]
Kind = tuple[str, OperationId]
"""A script's name and the operation that it runs on: calls of one kind are served by one run."""
Send = Callable[[Mapping[Kind, Sequence[Arguments]]], Mapping[Kind, Sequence[object] | Exception]]
MOST = 256
"""Calls sent at once, so that Redis is not held up for long."""
LINGER = 0.003
"""Seconds for which calls are gathered before they are sent, while they come in quickly: fewer and larger
runs cost less CPU here and in Redis, and fewer fsyncs."""
QUICK, WITHIN = 8, 0.02
"""They come in quickly when so many came within so many seconds."""


class _Call:
    __slots__ = ("arguments", "error", "kind", "leads", "reply", "served", "turn")

    def __init__(self, kind: Kind, arguments: Arguments) -> None:
        self.kind = kind
        self.arguments = arguments
        self.leads = False
        self.served = False
        self.reply: object = None
        self.error: BaseException | None = None
        self.turn = threading.Lock()
        """Held until the call has been served, or it is this thread's turn to send."""
        self.turn.acquire()


class Gathering:
    """One thread at a time sends what all have asked for; who asks meanwhile waits for the next turn."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._sending = False
        self._arrivals: deque[float] = deque(maxlen=QUICK)

    def run(self, kind: Kind, arguments: Arguments) -> object:
        """Return the reply to one call, or raise what its sending or its script raised."""
        if self._process != os.getpid():
            self._forget_threads()
        call = _Call(kind, arguments)
        try:
            with self._lock:
                self._arrivals.append(time.monotonic())
                self._waiting.append(call)
                call.leads = not self._sending
                self._sending = True
            if not call.leads:
                call.turn.acquire()
            if not call.served:
                self._serve()
        except BaseException:
            self._leave(call)
            raise
        if call.error is not None:
            raise call.error
        return call.reply

    def _serve(self) -> None:
        calls: list[_Call] = []
        try:
            if len(self._arrivals) == QUICK and time.monotonic() - self._arrivals[0] < WITHIN:
                time.sleep(LINGER)
            with self._lock:
                calls, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._send_all(calls)
        except BaseException as error:
            others = error if isinstance(error, Exception) else StoreUnavailable("sending was interrupted")
            for call in calls:
                call.error = others
            raise
        finally:
            for call in calls:
                call.served = True
                call.turn.release()
            with self._lock:
                self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.release()
        else:
            self._sending = False

    def _leave(self, call: _Call) -> None:
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
                if call.leads:
                    self._pass_on()

    def _send_all(self, calls: Sequence[_Call]) -> None:
        kinds: dict[Kind, list[_Call]] = {}
        for call in calls:
            kinds.setdefault(call.kind, []).append(call)
        replies = self._send({kind: [call.arguments for call in same] for kind, same in kinds.items()})
        for kind, same in kinds.items():
            reply = replies[kind]
            if isinstance(reply, Exception):
                for call in same:
                    call.error = reply
                continue
            for call, own in zip(same, reply, strict=True):
                call.reply = own

    def _forget_threads(self) -> None:
        """Start anew in a forked child: it has none of the threads that were waiting or sending."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting.clear()
        self._sending = False
