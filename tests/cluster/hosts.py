"""Slow hosts: a port each on the bridge, in a thread of this process, which can look at what they hold."""

from __future__ import annotations

import asyncio
import random
import threading
from functools import partial
from typing import Final, cast

from benchmarks.nodes import Cluster, Node
from tests.cluster.pod import GATEWAY

FIRST_PORT: Final = 20_001
FROM, TO = 0.8, 1.2
"""Seconds that one call takes: so long that waiting, not this machine's processors, is what workers do."""


class SlowCluster(Cluster):
    """Answers each call after a while, as drawn."""

    def delay(self, host: int, method: str) -> float:
        return random.uniform(FROM, TO)


class ByPort(Node):
    """A connection to the host that its port stands for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.host = int(transport.get_extra_info("sockname")[1]) - FIRST_PORT


class Hosts:
    """So many slow hosts, serving until this process ends."""

    def __init__(self, count: int) -> None:
        self.cluster = SlowCluster(count)
        self._serving = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(count)), daemon=True).start()
        assert self._serving.wait(60), "the hosts do not listen"

    @property
    def changes(self) -> int:
        """How many groups were created and deleted so far, on all hosts together."""
        return self.cluster.created + self.cluster.deleted

    def holding(self, group: str, among: int) -> int:
        """Return how many of the first so many hosts hold a group."""
        return sum(group in held for held in self.cluster.groups[:among])

    async def _serve(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for host in range(count):
            await loop.create_server(
                partial(ByPort, self.cluster, loop), GATEWAY, FIRST_PORT + host, backlog=256
            )
        self._serving.set()
        await asyncio.Event().wait()


def inventory(count: int) -> str:
    """Return the inventory of the first so many hosts."""
    lines = (f"  - {{name: host{n + 1}, url: 'http://{GATEWAY}:{FIRST_PORT + n}'}}\n" for n in range(count))
    return "hosts:\n" + "".join(lines)
