"""The limit: the same calls over libcurl's multi interface, from one thread, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from benchmarks.peers.floor import AT_ONCE, Job
from benchmarks.peers.peer import Peer

PEER = Peer(
    title="limit (libcurl)",
    http="pycurl multi",
    keeps="nothing",
    workers=lambda place: (),
    redis=False,
)


class Limit:
    """Does the job itself, so many hosts at once: GET, then POST, and DELETE where one refuses."""

    def __init__(self) -> None:
        """Keep connections from one job to the next."""
        import pycurl

        self._curl, self._multi = pycurl, pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, AT_ONCE)

    def publish(self, group: str, hosts: Sequence[str]) -> Job:
        """There is nobody to hand it to."""
        return Job(group, hosts)

    def finish(self, job: Job) -> bool:
        """Do it, and undo it where a host refuses."""
        body = f'{{"groupId": "{job.group}"}}'
        absent = self._all([("GET", host, f"{host}/v1/group/{job.group}/", None) for host in job.hosts], 404)
        done = self._all([("POST", host, f"{host}/v1/group/", body) for host in absent], 201)
        if len(done) == len(job.hosts):
            return True
        self._all([("DELETE", host, f"{host}/v1/group/", body) for host in done], 200)
        return False

    def close(self) -> None:
        """Close every connection."""
        self._multi.close()

    def _all(self, calls: Sequence[tuple[str, str, str, str | None]], wanted: int) -> list[str]:
        """Make every call, so many at once; return the hosts that gave the answer that is wanted."""
        left = deque(calls)
        hosts: dict[object, str] = {}
        said: list[str] = []
        while left or hosts:
            while left and len(hosts) < AT_ONCE:
                method, host, url, body = left.popleft()
                call = self._call(method, url, body)
                hosts[call] = host
                self._multi.add_handle(call)
            self._multi.select(1.0)
            self._multi.perform()
            waiting = 1
            while waiting:
                waiting, well, ill = self._multi.info_read()
                for call in (*well, *(each for each, *_ in ill)):
                    self._multi.remove_handle(call)
                    host = hosts.pop(call)
                    if call.getinfo(self._curl.RESPONSE_CODE) == wanted:
                        said.append(host)
        return said

    def _call(self, method: str, url: str, body: str | None) -> object:
        call = self._curl.Curl()
        call.setopt(self._curl.URL, url)
        call.setopt(self._curl.NOSIGNAL, 1)
        call.setopt(self._curl.WRITEFUNCTION, lambda _: None)
        if body is not None:
            call.setopt(self._curl.POSTFIELDS, body)
            call.setopt(self._curl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
        call.setopt(self._curl.CUSTOMREQUEST, method)
        return call


def open_producer() -> Limit:
    """Make one."""
    return Limit()
