"""The demo's own hand on the mock cluster: it breaks nodes, and asks them past Lockstep what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import requests

TIMEOUT = 2.0
"""Seconds: nodes that are asked here are well."""

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a node had: what struck it, and whether it changed what the node holds."""

    fault: str | None
    landed: bool


class Nodes:
    """Five nodes and their admin API. Raises requests.RequestException when one does not answer."""

    def __init__(self, urls: Mapping[str, str], admin_url: str) -> None:
        self.urls = dict(urls)
        self._admin_url = admin_url
        self._http = requests.Session()
        self._http.trust_env = False

    def group(self, node: str, group: str) -> Body | None:
        """Ask a node for a group with the GET of its own API; None if it has none."""
        answer = self._http.get(f"{self.urls[node]}/v1/group/{group}/", timeout=TIMEOUT)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return dict(answer.json())

    def plant(self, node: str, body: Body) -> None:
        """Put a group on a node, past every fault."""
        self._admin("PUT", f"/nodes/{node}/groups/{body['groupId']}", body)

    def break_all(self, rules: Sequence[Body]) -> None:
        """Give every node these faults in place of others."""
        self._admin("PUT", "/faults", list(rules))

    def break_one(self, node: str, rules: Sequence[Body], milliseconds: int) -> None:
        """Give a node these faults in place of others, and a delay before each answer."""
        self._admin("PUT", f"/nodes/{node}/faults", list(rules))
        self._admin("PUT", f"/nodes/{node}/latency", milliseconds)

    def mend(self) -> None:
        """Take every fault and every delay away."""
        self._admin("DELETE", "/faults")
        self._admin("PUT", "/latency", None)

    def down(self, node: str) -> None:
        """Make a node refuse connections; it keeps its groups."""
        self._admin("POST", f"/nodes/{node}/down")

    def up(self, node: str) -> None:
        """Make a node accept connections again."""
        self._admin("POST", f"/nodes/{node}/up")

    def calls(self) -> list[Call]:
        """Read the calls that the nodes have had so far, the admin's own left out."""
        records = map(json.loads, self._admin("GET", "/history").text.splitlines())
        return [
            Call(one["fault"], one["effect_at"] is not None) for one in records if one["actor"] != "admin"
        ]

    def _admin(self, method: str, path: str, body: object = ...) -> requests.Response:
        given = {} if body is ... else {"data": json.dumps(body), "headers": JSON}
        answer = self._http.request(method, self._admin_url + path, timeout=TIMEOUT, **given)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer


JSON = {"Content-Type": "application/json"}
