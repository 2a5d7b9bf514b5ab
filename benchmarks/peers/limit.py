"""The limit: the same calls over libcurl's multi interface, from one thread, and nothing else."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.peers.floor import AT_ONCE, Job
from benchmarks.peers.peer import Peer

PEER = Peer(
    title="limit (libcurl)",
    http="pycurl multi",
    keeps="nothing",
    workers=lambda place: (),
    redis=False,
)
FIRST, THEN, UNDO = ("GET", 404), ("POST", 201), ("DELETE", 200)
"""Methods, and the answers that they are to have."""


class Limit:
    """Does the job itself, so many hosts at once: GET, then POST, and DELETE where one refuses."""

    def __init__(self) -> None:
        """Keep connections from one job to the next."""
        import pycurl

        self._curl: Any = pycurl
        self._multi, self._poll, self._wait = pycurl.CurlMulti(), select.poll(), -1
        self._multi.setopt(pycurl.M_MAXCONNECTS, AT_ONCE)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._follow)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, partial(setattr, self, "_wait"))

    def publish(self, group: str, hosts: Sequence[str]) -> Job:
        """There is nobody to hand it to."""
        return Job(group, hosts)

    def finish(self, job: Job) -> bool:
        """Do it, and undo it where a host refuses."""
        done = self._all(job.group, job.hosts, (FIRST, THEN))
        if len(done) == len(job.hosts):
            return True
        self._all(job.group, done, (UNDO,))
        return False

    def close(self) -> None:
        """Close every connection."""
        self._multi.close()

    def _all(self, group: str, hosts: Sequence[str], calls: Sequence[tuple[str, int]]) -> list[str]:
        """Make every call to every host, so many hosts at once; return those that gave all answers wanted."""
        left, done = deque(hosts), list[str]()
        under_way: dict[object, tuple[str, int]] = {}

        def begin(host: str, number: int) -> None:
            call = self._call(calls[number][0], host, group)
            under_way[call] = host, number
            self._multi.add_handle(call)

        while left or under_way:
            while left and len(under_way) < AT_ONCE:
                begin(left.popleft(), 0)
            for socket, event in self._poll.poll(self._wait):
                self._multi.socket_action(socket, self._happened(event))
            self._multi.socket_action(self._curl.SOCKET_TIMEOUT, 0)
            waiting = 1
            while waiting:
                waiting, well, ill = self._multi.info_read()
                for call in (*well, *(each for each, *_ in ill)):
                    self._multi.remove_handle(call)
                    host, number = under_way.pop(call)
                    if call.getinfo(self._curl.RESPONSE_CODE) != calls[number][1]:
                        continue
                    if number + 1 < len(calls):
                        begin(host, number + 1)
                    else:
                        done.append(host)
        return done

    def _call(self, method: str, host: str, group: str) -> object:
        call = self._curl.Curl()
        call.setopt(self._curl.URL, f"{host}/v1/group/" + (f"{group}/" if method == "GET" else ""))
        call.setopt(self._curl.NOSIGNAL, 1)
        call.setopt(self._curl.WRITEFUNCTION, lambda _: None)
        if method != "GET":
            call.setopt(self._curl.POSTFIELDS, f'{{"groupId": "{group}"}}')
            call.setopt(self._curl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
        call.setopt(self._curl.CUSTOMREQUEST, method)
        return call

    def _follow(self, what: int, socket: int, *_: object) -> None:
        if what == self._curl.POLL_REMOVE:
            self._poll.unregister(socket)
            return
        wants = select.POLLIN if what & self._curl.POLL_IN else 0
        self._poll.register(socket, wants | (select.POLLOUT if what & self._curl.POLL_OUT else 0))

    def _happened(self, event: int) -> int:
        reads = self._curl.CSELECT_IN if event & ~select.POLLOUT else 0
        return int(reads | (self._curl.CSELECT_OUT if event & select.POLLOUT else 0))


def open_producer() -> Limit:
    """Make one."""
    return Limit()
