"""A node's front door: one port, which can be shut for real and opened again."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from lockstep.mock_api.errors import InputError

# on, 0 s: closing discards what is unsent and sends RST instead of FIN.
LINGER_NOT = struct.pack("ii", 1, 0)
BACKLOG = 2048


class Connection(H11Protocol):
    """Uvicorn's connection, which also lets a handler reach the transport, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def reset(transport: asyncio.Transport) -> None:
    """Break the connection off with a TCP RST."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        transport.abort()


def bound(host: str, port: int) -> socket.socket:
    """Reserve a port without listening on it; 0 picks a free one. Raises InputError when it is taken."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise InputError(
            f"port {port} on {host} cannot be used ({error.strerror}); choose another, or 0 for a free one"
        ) from None
    return sock


class Listener:
    """Serves an application on one port. `state` is what handlers find in `request.state`."""

    def __init__(self, host: str, port: int, config: Config, state: dict[str, object]) -> None:
        self._host = host
        self._sock = bound(host, port)
        self.port: int = self._sock.getsockname()[1]
        self._config = config
        self._state = state
        self._server: asyncio.Server | None = None
        self._connections = ServerState()
        self._opening = asyncio.Lock()

    @property
    def url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def up(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        """Accept connections; nothing to do when it does already."""
        async with self._opening:
            if self._server is not None:
                return
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Connection(self._config, self._connections, self._state, loop),
                sock=self._sock,
                backlog=BACKLOG,
            )

    def close(self) -> None:
        """Refuse connections, and reset those that are open."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._connections.connections):
            reset(cast(Connection, connection).transport)
        # Bound but not listening: connections are refused, yet nobody else can be given the port meanwhile.
        self._sock = bound(self._host, self.port)
