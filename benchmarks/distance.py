"""`python -m benchmarks.distance PORT REDIS MILLISECONDS`: a proxy that makes a Redis be so far away.

What Redis answers comes so much later, in order, however much is under way. It waits with `select`, whose
times are microseconds, where `epoll`'s are milliseconds.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections import deque
from functools import partial
from typing import cast


class End(asyncio.Protocol):
    """One end of a connection; what comes in leaves at the other end, so many seconds later."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.other: End
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[bytes] = deque()
        """What came in and is still to leave."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on, now or later."""
        self.waiting.append(data)
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._pass_on)
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        data = self.waiting.popleft()
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Close the other end too."""
        if self.other.transport is not None:
            self.other.transport.close()


class Client(End):
    """The end at which a client is."""

    def __init__(self, redis_port: int, delay: float) -> None:
        super().__init__(0.0)
        self.redis_port = redis_port
        self.other = End(delay)
        self.other.other = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to Redis, and listen to the client from then on."""
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        self.connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        assert self.transport is not None
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.other, "127.0.0.1", self.redis_port
            )
        except OSError:
            self.transport.close()
        else:
            self.transport.resume_reading()


async def serve(port: int, redis_port: int, milliseconds: float) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    await loop.create_server(partial(Client, redis_port, milliseconds / 1000), "127.0.0.1", port)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve."""
    port, redis_port, milliseconds = sys.argv[1:]
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(int(port), int(redis_port), float(milliseconds)))


if __name__ == "__main__":
    main()
