"""Calls over libcurl: those of every step, carried by one thread for all threads of a process.

It drives libcurl's multi interface, which keeps the connections of all of them. docs/performance.md says what
a handle for each thread costs instead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pycurl

from lockstep.worker.hosts.client import Call, Detail
from lockstep.worker.hosts.transfer import Kept, Transfer
from lockstep.worker.operation.answer import CallWatch, NoReply, Reply, Trouble
from lockstep.worker.process.forks import leave_to_parent, renew_in_children

IDLE = 256
"""Connections kept open between calls: ten thousand hosts are not to be ten thousand sockets."""
TICK = 100
"""Milliseconds between two looks at the calls under way."""
NO_TLS_FILE = {FileNotFoundError: Detail.NO_FILE, EOFError: Detail.EMPTY_FILE}
log = logging.getLogger(__name__)
watches: list[Callable[[str, str], CallWatch]] = []
"""Asked about each call, by method and URL. Nothing is measured while there are none."""


class Loop:
    """The thread that carries the calls of this process, begun with the first of them."""

    def __init__(self) -> None:
        self.start_anew()
        renew_in_children(self)  # whichever process reads first would get the other's answer

    def start_anew(self) -> None:
        leave_to_parent(*vars(self).values())
        self._making = threading.Lock()
        self._thread: threading.Thread | None = None
        self._bell = (-1, -1)
        self._given: deque[Transfer] = deque()
        self._calls: dict[pycurl.Curl, Transfer] = {}
        self._kept: Kept = {}

    def carry(self, asked: Call) -> Reply | NoReply:
        """Carry one call, from whichever thread."""
        began = (_unharmed(watch, asked.method, asked.url) for watch in watches)
        watching: list[CallWatch] = [each for each in began if each is not None]
        call = None
        try:
            call = Transfer(asked, self._kept, watching)
            self._begin_thread()
        except (EOFError, OSError, ValueError, RuntimeError, pycurl.error) as error:
            # RuntimeError: there may be no more threads.
            return NoReply(Trouble.NOT_SENT, NO_TLS_FILE.get(type(error), f"connection error: {error}"))
        else:
            self._give(call)
            return call.said.wait()
        finally:
            if call is not None:
                call.given_up = True  # if who waits was interrupted; else it is over
            for _, told in watching:
                _unharmed(told, None if call is None else call.carried)

    def _begin_thread(self) -> None:
        with self._making:
            if self._thread is None or self._thread.ident is None:
                self._bell = os.pipe()
                self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
                self._thread.start()

    def _give(self, call: Transfer) -> None:
        self._given.append(call)
        os.write(self._bell[1], b"!")

    def _taken(self) -> Iterator[Transfer]:
        """Yield what was given; a call that comes later rings again."""
        os.read(self._bell[0], 4096)
        while self._given:
            yield self._given.popleft()

    def _run(self) -> None:
        while True:
            try:
                self._serve()
            except Exception:
                log.exception("what carries the calls to hosts failed, and begins anew")
            for call in self._calls.values():
                with contextlib.suppress(pycurl.error, RuntimeError):
                    call.finish(NoReply(call.lost, "what carries the calls failed"))
            self._calls.clear()
            os.write(self._bell[1], b"!")  # for what was given meanwhile

    def _serve(self) -> None:
        multi, poll = pycurl.CurlMulti(), select.poll()
        multi.setopt(pycurl.M_MAXCONNECTS, IDLE)

        def follow(what: int, socket: int, *_: object) -> None:
            if what == pycurl.POLL_REMOVE:
                with contextlib.suppress(KeyError):
                    poll.unregister(socket)
            else:
                reads, writes = what & pycurl.POLL_IN, what & pycurl.POLL_OUT
                poll.register(socket, (reads and select.POLLIN) | (writes and select.POLLOUT))

        multi.setopt(pycurl.M_SOCKETFUNCTION, follow)
        poll.register(self._bell[0], select.POLLIN)
        look = 0.0
        moved: dict[int, float] = {}
        while True:
            due = multi.timeout()  # -1 for never
            rest = min(due, TICK) if due >= 0 else TICK
            events = poll.poll(rest if self._calls else None)
            now = time.monotonic()
            for socket, _ in events:
                if socket == self._bell[0]:
                    for call in self._taken():
                        self._calls[call.curl] = call
                        multi.add_handle(call.curl)
                else:
                    moved[socket] = now
                    multi.socket_action(socket, 0)  # libcurl looks itself what happened there
            multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._reap(multi)
            if look <= now:
                look = now + TICK / 1000
                for call in list(self._calls.values()):
                    if (said := call.overdue(now, moved)) is not None:
                        self._end(call, said)

    def _reap(self, multi: pycurl.CurlMulti) -> None:
        """End the calls that libcurl is done with."""
        _, well, ill = multi.info_read()
        if len(self._kept) > 4 * IDLE:
            self._kept.clear()
        for curl, code, text in [*((curl, 0, "") for curl in well), *ill]:
            call = self._calls[curl]
            if call.stale:
                multi.remove_handle(curl)
                call.again()
                multi.add_handle(curl)
            else:
                self._end(call, call.came(code, text))

    def _end(self, call: Transfer, said: Reply | NoReply) -> None:
        call.finish(said)
        del self._calls[call.curl]  # only now: nobody is told of a call that is not here


def _unharmed(tell: Callable[..., Any], *what: object) -> Any:
    """Log what fails in who watches a call; the call goes on."""
    try:
        return tell(*what)
    except Exception:
        log.exception("what watches the calls to hosts failed")


exchange = Loop().carry
