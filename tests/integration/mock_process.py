"""A mock cluster as a real process, a raw client for its nodes, and waiting with a deadline."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from lockstep.mock_api.admin import ClusterAdmin
from tests.waits import PATIENCE
from tests.warm import Piped

ROOT = Path(__file__).parents[2]


class NodeClient:
    """Speaks the node API to one node, a new connection per call: nothing is retried, nothing followed."""

    def __init__(self, url: str, timeout: float = PATIENCE) -> None:
        self.url = url
        self.timeout = timeout

    def call(self, method: str, path: str = "/v1/group/", **sent: Any) -> requests.Response:
        """Send one request."""
        with requests.Session() as session:
            session.trust_env = False
            request = requests.Request(method, self.url + path, **sent)
            return session.send(request.prepare(), timeout=self.timeout, allow_redirects=False)

    def post(self, group: str, **fields: object) -> requests.Response:
        return self.call("POST", json={"groupId": group, **fields})

    def delete(self, group: str) -> requests.Response:
        return self.call("DELETE", json={"groupId": group})

    def get(self, group: str) -> requests.Response:
        return self.call("GET", f"/v1/group/{group}/")

    def give_up(self, group: str) -> None:
        """Send a create, read nothing, and close the connection."""
        self.send(group).close()

    def send(self, group: str) -> socket.socket:
        """Send a create and return the connection, its answer unread."""
        body = json.dumps({"groupId": group})
        split = urlsplit(self.url)
        assert split.hostname is not None
        connection = socket.create_connection((split.hostname, split.port or 80), PATIENCE)
        head = f"POST /v1/group/ HTTP/1.1\r\nHost: {split.hostname}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        return connection


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster that serves."""

    process: Piped
    admin: ClusterAdmin
    nodes: dict[str, NodeClient]


def launch(*arguments: str) -> Piped:
    """Start `python -m lockstep.mock_api` with these arguments."""
    return Piped("lockstep.mock_api", *arguments)


@contextmanager
def cluster(*arguments: str) -> Iterator[Running]:
    """Serve until the block ends; kill what has not ended by then."""
    with launch(*arguments) as process:
        try:
            ready = json.loads(process.stdout.readline())
            nodes = {name: NodeClient(url) for name, url in ready["nodes"].items()}
            yield Running(process, ClusterAdmin(ready["admin"]), nodes)
        finally:
            process.kill()
