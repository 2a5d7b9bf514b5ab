"""The admin API of a cluster from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote

import requests

from lockstep.mock_api.faults import Latency
from lockstep.mock_api.history import FIELDS, Record
from lockstep.mock_api.node import Manners

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Fault: TypeAlias = Mapping[str, Json]


class AdminError(Exception):
    """The cluster turned a command down; says why."""


class NodeInfo(Manners):
    """A node as it stands."""

    name: str
    url: str
    up: bool
    groups: int
    latency: Latency | None


class ClusterAdmin:
    """Commands a cluster. Without a `node`, a command is for every node. Raises AdminError, or OSError."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    def nodes(self) -> dict[str, NodeInfo]:
        return {one["name"]: NodeInfo(**one) for one in json.loads(self._call("GET", "/nodes"))}

    def faults(self, node: str | None = None) -> dict[str, list[dict[str, Json]]]:
        """Return each `rule` by node name, with how many calls it matched (`seen`), and struck (`fired`)."""
        armed: dict[str, list[dict[str, Json]]] = json.loads(self._call("GET", scope(node, "faults")))
        return armed

    def add_faults(self, *rules: Fault, node: str | None = None) -> None:
        """Put rules after those there are, say `{"kind": "hang_after", "times": 1}`."""
        self._call("POST", scope(node, "faults"), list(rules))

    def set_faults(self, *rules: Fault, node: str | None = None) -> None:
        """Put rules in place of those there are; `set_faults()` removes all. Latency and `down` stay."""
        self._call("PUT", scope(node, "faults"), list(rules))

    def set_latency(self, latency: Json, node: str | None = None) -> None:
        """Set a number of ms, `{"uniform": [a, b]}`, `{"choices": [[share, ms], …]}`, or None."""
        self._call("PUT", scope(node, "latency"), latency)

    def set_manners(self, node: str | None = None, **manners: int | str) -> None:
        """Set `delete_absent` (400, 404), `post_body` (empty, group) or `unwell_with`: see `node.Manners`."""
        self._call("PUT", scope(node, "settings"), manners)

    def down(self, node: str, seconds: float | None = None) -> None:
        """Make a node refuse connections, until `up` or for `seconds`."""
        self._call("POST", scope(node, "down"), seconds=seconds)

    def up(self, node: str) -> None:
        self._call("POST", scope(node, "up"))

    def groups(self, node: str) -> dict[str, dict[str, Json]]:
        """Return what a node holds, by group id."""
        held: dict[str, dict[str, Json]] = json.loads(self._call("GET", scope(node, "groups")))
        return held

    def plant(self, node: str, group: str, fields: Mapping[str, Json] | None = None) -> None:
        """Put a group in place behind everybody's back; the history names the actor `admin`."""
        self._call("PUT", scope(node, f"groups/{quote(group, safe='')}"), dict(fields or {}))

    def remove(self, node: str, group: str) -> None:
        """Remove a group behind everybody's back. Raises AdminError when it is absent."""
        self._call("DELETE", scope(node, f"groups/{quote(group, safe='')}"))

    def history(self, node: str | None = None, group: str | None = None, since: int = 0) -> list[Record]:
        """Return the requests after number `since`, in order of arrival, those still open too."""
        told = self._call("GET", "/history", node=node, group=group, since=since)
        lines = map(json.loads, told.splitlines())
        return [Record(**{name: line[name] for name in FIELDS}) for line in lines]

    def reset(self) -> None:
        """Clear groups, faults, latency and history, bring nodes up, drop what is under way."""
        self._call("POST", "/reset")

    def _call(self, method: str, path: str, body: Json = None, **query: str | float | None) -> bytes:
        with requests.Session() as session:
            # A proxy in the environment has no business between us and a cluster on this machine.
            session.trust_env = False
            url, limit = self.url + path, self._timeout
            answer = session.request(method, url, json=body, params=query, timeout=limit)
        if not answer.ok:
            try:
                why = answer.json()["detail"]
            except (ValueError, KeyError, TypeError):
                why = answer.text
            raise AdminError(f"{method} {path}: {why}")
        return answer.content


def scope(node: str | None, what: str) -> str:
    return f"/{what}" if node is None else f"/nodes/{quote(node, safe='')}/{what}"
