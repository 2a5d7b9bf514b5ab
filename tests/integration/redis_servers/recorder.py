"""Which commands each role sends to Redis, its scripts' included: a door for each, and what MONITOR says."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterable
from typing import Any, TypeAlias

from lockstep.producer.stack.ports import LOOPBACK
from tests.integration.redis_servers.servers import Guarded
from tests.waits import PATIENCE

TIMEOUT = 10.0
LINE = re.compile(rb"\+[\d.]+ \[\d+ (\S+)\] (.*)", re.DOTALL)
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
CHANNELS = {"publish": slice(1), "subscribe": slice(None), "psubscribe": slice(None)}
"""Commands that rules hold to channels, and which of their arguments are some."""
CONTAINERS = {"acl", "client", "config", "script", "object", "command", "function", "memory", "pubsub"}
ANYBODY = {"auth", "hello"}
"""What Redis lets everybody do."""
Call: TypeAlias = tuple[bytes, ...]
Use: TypeAlias = tuple[str, tuple[str, ...]]
"""A command, as rules name it, and what it was used on: `~key` or `&channel`."""


class Door:
    """Forwards connections to a server, which sees them come from an address of the door's own.

    One of 127.0.0.0/8: a port would be somebody else's once a connection is closed.
    """

    def __init__(self, port: int, address: str) -> None:
        self._server, self._address = port, address
        self._listener = socket.create_server((LOOPBACK, 0), backlog=200)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((LOOPBACK, self._server), source_address=(self._address, 0))
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._forward, args=pair, daemon=True))
                    self._threads[-1].start()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End every connection, and close it once nobody reads it."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT)
        for each in self._open:
            each.close()


class Recorder:
    """Writes down what each role does."""

    def __init__(self, server: Guarded, roles: Iterable[str]) -> None:
        self._server = server
        self._calls: dict[str, set[Call]] = {role: set() for role in roles}
        addresses = {f"127.0.0.{number}": role for number, role in enumerate(self._calls, start=2)}
        self._role_of = {address.encode(): role for address, role in addresses.items()}
        self._doors = {role: Door(server.port, address) for address, role in addresses.items()}
        self._monitor = socket.create_connection((LOOPBACK, server.port))
        self._monitor.sendall(b"AUTH ADMIN-PASSWORD\r\nMONITOR\r\n")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def url(self, role: str) -> str:
        """Where a role is to connect to."""
        return self._server.as_user(role).replace(f":{self._server.port}/", f":{self._doors[role].port}/")

    def finish(self) -> dict[str, set[Use]]:
        """Return what each role has done so far."""
        with self._server.client("admin") as admin:
            admin.echo("the end of it")
            assert self._ended.wait(PATIENCE)
            return {role: _uses(admin, calls) for role, calls in self._calls.items()}

    def close(self) -> None:
        """Stop."""
        self._monitor.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._monitor.close()
        for door in self._doors.values():
            door.close()

    def _read(self) -> None:
        role: str | None = None
        with contextlib.suppress(OSError), self._monitor.makefile("rb") as lines:
            for line in lines:
                if (found := LINE.match(line)) is None:
                    continue
                who, said = found.groups()
                if who != b"lua":  # a script's own commands follow its line
                    role = self._role_of.get(who.rpartition(b":")[0])
                call = tuple(WORD.findall(said))
                if role is not None:
                    self._calls[role].add(call)
                elif call[1:] == (b"the end of it",):
                    self._ended.set()
                    return


def _uses(admin: Any, calls: set[Call]) -> set[Use]:
    ordered = sorted(calls)
    with admin.pipeline(transaction=False) as pipe:
        for call in ordered:
            pipe.execute_command("COMMAND GETKEYS", *call)
        keys = pipe.execute(raise_on_error=False)
    return {use for call, found in zip(ordered, keys, strict=True) if (use := _use(call, found))}


def _use(call: Call, keys: object) -> Use | None:
    name, *arguments = (word.decode() for word in call)
    name = name.lower()
    if name in ANYBODY:
        return None
    if name in CONTAINERS:
        name = f"{name}|{arguments[0].lower()}"
    if name in CHANNELS:
        return name, tuple(f"&{each}" for each in arguments[CHANNELS[name]])
    return name, tuple(f"~{key}" for key in keys) if isinstance(keys, list) else ()
