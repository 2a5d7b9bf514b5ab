"""`python -m benchmarks.nodes HOSTS PORT CONTROL`: the mock cluster, one process that is not the limit.

Bare asyncio protocols, on uvloop where it is installed: some 60,000 requests a second on one core. Every host
has a loopback address of its own and keeps its own groups; one socket listens for all, on the loopback
interface alone. A write takes effect when it is answered. The control port takes one JSON object a line and
answers with one; see `Cluster.obey`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
import zlib
from functools import partial
from typing import Any, cast

from benchmarks.addresses import number

REASONS = {200: "OK", 201: "Created", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 503: "Busy"}


class Cluster:
    """The groups of every host, how slowly they answer, and what was asked of them since the last reset."""

    def __init__(self, hosts: int) -> None:
        self.groups: list[set[str]] = [set() for _ in range(hosts)]
        self.reset({})

    def reset(self, order: dict[str, Any]) -> None:
        """Forget every group and count, and behave as told from now on."""
        for held in self.groups:
            held.clear()
        self.latency = float(order.get("latency", 0))
        self.slow = float(order.get("slow", 0))
        """Latency of the slow share of all calls."""
        self.slow_percent = int(order.get("slow_percent", 0))
        self.refusing = order.get("refusing")
        self.turns_away = [int(order.get("busy", 0))] * len(self.groups)
        """How many more writes each host answers with 503, and without effect."""
        self.calls = self.created = self.deleted = 0
        self.refused_at: float | None = None
        self.last_undone_at: float | None = None

    def delay(self, host: int, method: str) -> float:
        """Return how long this call takes: the same for every candidate, for it depends on nothing else."""
        if self.slow_percent and zlib.crc32(b"%d %s" % (host, method.encode())) % 100 < self.slow_percent:
            return self.slow
        return self.latency

    def answer(self, host: int, method: str, group: str) -> int:
        """Do what a call asks for; return the status."""
        self.calls += 1
        held = self.groups[host]
        if method == "GET":
            return 200 if group in held else 404
        if self.turns_away[host]:
            self.turns_away[host] -= 1
            return 503
        if method == "POST":
            if host == self.refusing:
                self.refused_at = self.refused_at or time.monotonic()
                return 403
            if group in held:
                return 400
            held.add(group)
            self.created += 1
            return 201
        if group not in held:
            return 404
        held.discard(group)
        self.deleted += 1
        self.last_undone_at = time.monotonic()
        return 200

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """`reset` with latency, slow, slow_percent, refusing, busy; or `tell`: what there is and was done."""
        if order["do"] == "reset":
            self.reset(order)
        return {
            "held": sum(map(len, self.groups)),
            "holding": sum(map(bool, self.groups)),
            "calls": self.calls,
            "created": self.created,
            "deleted": self.deleted,
            "refused_at": self.refused_at,
            "last_undone_at": self.last_undone_at,
        }


class Node(asyncio.Protocol):
    """One connection to one host; calls on it are answered in order."""

    def __init__(self, cluster: Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self.cluster, self.loop = cluster, loop
        self.buffer = b""
        self.busy = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and see which host is called."""
        self.transport = cast(asyncio.Transport, transport)
        self.host = number(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        """Take what came; begin the next call once it is whole."""
        self.buffer += data
        if not self.busy:
            self.next_call()

    def next_call(self) -> None:
        """Begin the next call if all of it is there."""
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        lines = head.split(b"\r\n")
        length = 0
        for line in lines[1:]:
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        if len(rest) < length:
            return
        body, self.buffer = rest[:length], rest[length:]
        method, path, _ = lines[0].decode().split(" ", 2)
        group = path.split("/")[3] if method == "GET" else json.loads(body)["groupId"]
        delay = self.cluster.delay(self.host, method)
        if delay:
            self.busy = True
            self.loop.call_later(delay, self.reply, method, group)
        else:
            self.reply(method, group)

    def reply(self, method: str, group: str) -> None:
        """Let the call take effect, answer it, and begin the next."""
        status = self.cluster.answer(self.host, method, group)
        body = b'{"groupId": "%s"}' % group.encode() if status in (200, 201) else b"{}"
        head = "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write((head % (status, REASONS[status], len(body))).encode() + body)
        self.busy = False
        if self.buffer:
            self.next_call()


class Control(asyncio.Protocol):
    """The connection of whoever measures."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Obey; an order is short, and comes whole."""
        self.transport.write(json.dumps(self.cluster.obey(json.loads(data))).encode() + b"\n")


async def serve(hosts: int, port: int, control: int) -> None:
    """Listen on every host's address, say so, and serve until killed."""
    loop = asyncio.get_running_loop()
    cluster = Cluster(hosts)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listener.bind(("0.0.0.0", port))  # every address of the loopback interface
    listener.setblocking(False)
    await loop.create_server(partial(Node, cluster, loop), sock=listener, backlog=4096)
    await loop.create_server(lambda: Control(cluster), "127.0.0.1", control)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve on the fastest loop there is."""
    hosts, port, control = map(int, sys.argv[1:])
    try:
        import uvloop  # type: ignore[import-not-found]
    except ImportError:
        asyncio.run(serve(hosts, port, control))
    else:
        uvloop.run(serve(hosts, port, control))


if __name__ == "__main__":
    main()
