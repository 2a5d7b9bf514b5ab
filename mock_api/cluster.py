"""The nodes together: a port for each, which can be shut for real, and what the admin does to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from lockstep.mock_api.app import node_app
from lockstep.mock_api.calls import CallHandler, reset
from lockstep.mock_api.faults import NODE_LEVEL, FaultKind, InputError, Rule
from lockstep.mock_api.history import History
from lockstep.mock_api.node import Manners, Node
from lockstep.worker.kinds.kind import Kind as Played


class Connection(H11Protocol):
    """Uvicorn's connection, which also lets a handler reach the transport, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def served(app: object) -> Config:
    """Uvicorn's settings for one application, quiet and without limits of its own."""
    config = Config(
        app,  # type: ignore[arg-type]
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=24 * 3600,  # that a timer of ours closes an idle one is a fault nobody ordered
    )
    config.load()
    return config


@dataclass(frozen=True, slots=True)
class Spec:
    """What a cluster is made of: ports by node name, 0 for a free one."""

    ports: dict[str, int]
    admin_port: int
    host: str = "127.0.0.1"
    seed: int = 0
    manners: Manners = field(default_factory=Manners)
    history: Path | None = None
    state: Path | None = None
    rules: tuple[Rule, ...] = ()
    kind: Played | None = None
    """What the nodes keep beside groups."""


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
                backlog=2048,
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


class Member:
    """One node with its desk and its door."""

    def __init__(self, name: str, port: int, spec: Spec, history: History, config: Config) -> None:
        self.name = name
        self.node = Node(name, history, spec.seed, spec.manners, spec.state, spec.kind)
        self.desk = CallHandler(self.node, history)
        self.listener = Listener(spec.host, port, config, {"desk": self.desk})
        self._history = history
        self._return: asyncio.Task[None] | None = None

    def down(self, seconds: float | None = None) -> None:
        """Refuse connections, for `seconds` or ever, and reset open ones; effects under way still land."""
        self._stay()
        if self.listener.up:
            self.listener.close()
            self._history.node_event(self.name, "down")
        if seconds is not None:
            self._return = asyncio.create_task(self._up_after(seconds))

    async def up(self) -> None:
        self._stay()
        if not self.listener.up:
            await self.listener.open()
            self._history.node_event(self.name, "up")

    async def apply(self, rules: Sequence[Rule], *, keep: bool = False) -> None:
        """Add those of these rules that are about this node, or put them in place of all others.

        Rules about the whole node act at once and are not kept.
        """
        rules = [rule for rule in rules if rule.node in (None, self.name)]
        self.node.plan.replace((rule for rule in rules if rule.kind not in NODE_LEVEL), keep=keep)
        for rule in rules:
            if rule.kind is FaultKind.DOWN:
                self.down(rule.seconds)
            elif rule.kind is FaultKind.LATENCY:
                self.node.plan.latency = rule.latency

    def _stay(self) -> None:
        if self._return is not None:
            self._return.cancel()
            self._return = None

    async def _up_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._return = None  # it does not cancel itself
        await self.up()


class Cluster:
    """Every node of one process. Ports are bound when it is made, and opened by `open`."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self.history = History(spec.history)
        config = served(node_app(plays=spec.kind is not None))
        self.members = {
            name: Member(name, port, spec, self.history, config) for name, port in spec.ports.items()
        }

    async def open(self) -> None:
        """Start the nodes under the rules given at the start."""
        for member in self.members.values():
            await member.up()
            await member.apply(self._spec.rules)

    def close(self) -> None:
        """Cut every connection off and accept no more."""
        for member in self.members.values():
            member.listener.close()

    async def reset(self) -> None:
        """Clear groups, faults and history, bring every node up, and drop every call under way."""
        for member in self.members.values():
            member.desk.drop_unfinished()
            member.node.manners = self._spec.manners
            member.node.clear()
        self.history.clear()
        for member in self.members.values():
            await member.up()
