"""A name that leads to one server and then to another, as DNS or a virtual address does: a TCP proxy.

Connections that stand stay where they lead, until their server closes them.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

from lockstep.producer.stack.ports import LOOPBACK

CHUNK = 65_536


class Name:
    """A port that leads to a server; nowhere (connections are refused) while `port` is None."""

    def __init__(self, port: int | None) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.leads_to = port
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of whatever server it leads to."""
        return f"redis://{LOOPBACK}:{self._listener.getsockname()[1]}/0"

    def close(self) -> None:
        """Stop listening, and end everything; whoever reads a socket closes it."""
        for each in (self._listener, *list(self._ends)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client, self.leads_to), daemon=True).start()

    def _carry(self, client: socket.socket, port: int | None) -> None:
        with client, contextlib.suppress(OSError, ValueError, KeyError):
            if port is None:
                return
            with socket.create_connection((LOOPBACK, port)) as server, selectors.DefaultSelector() as ready:
                self._ends |= {client, server}
                ready.register(client, selectors.EVENT_READ, server)
                ready.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in ready.select():
                        assert isinstance(key.fileobj, socket.socket)
                        chunk = key.fileobj.recv(CHUNK)
                        if not chunk:
                            return
                        key.data.sendall(chunk)
