"""Things of shipped kinds, and how their servers' administrators see and change them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import requests

from tests.kinds.servers import Server

ZONES = "/api/v1/servers/localhost/zones"
ZONE = f"{ZONES}/verbs.example."
RECORD = "powerdns-record/verbs.example/www.verbs.example/A"
VHOST = "/api/vhosts/verbs%2Fa"
Shown = Mapping[str, object] | None


@dataclass(frozen=True)
class Case:
    """A thing of a kind, and how its server's administrator sees and changes it."""

    thing: str
    shows: Callable[[Server], Shown]
    remove: Callable[[Server], object]
    first: Mapping[str, object] = field(default_factory=dict)
    second: Mapping[str, object] = field(default_factory=dict)
    plant: Callable[[Server, str], object] | None = None
    """Give it content of the server's own; None for a thing without fields."""

    def on(self, servers: list[Server]) -> list[Shown]:
        return [self.shows(each) for each in servers]


def some(path: str, *names: str) -> Callable[[Server], Shown]:
    def shows(server: Server) -> Shown:
        said = server.ask("GET", path)
        return None if said.status_code == 404 else {name: said.json()[name] for name in names}

    return shows


def rrset(server: Server) -> Shown:
    rrsets = server.ask("GET", ZONE).json()["rrsets"]
    found = [each for each in rrsets if each["name"] == "www.verbs.example."]
    return (
        {"ttl": found[0]["ttl"], "records": [each["content"] for each in found[0]["records"]]}
        if found
        else None
    )


def zone(server: Server) -> Shown:
    whole = some(ZONE, "kind", "account")(server)
    return whole if whole is None else {**whole, "www": rrset(server)}


def patched(server: Server, change: str, address: str = "") -> object:
    records = [{"content": address, "disabled": False}] if address else []
    changed = {"name": "www.verbs.example.", "type": "A", "ttl": 60, "changetype": change, "records": records}
    said = server.ask("PATCH", ZONE, json={"rrsets": [changed]})
    said.raise_for_status()
    return said


def databases(server: Server) -> Shown:
    said = server.ask("GET", "/query", params={"q": "SHOW DATABASES"}).json()
    names = said["results"][0]["series"][0].get("values", [])
    return {} if ["verbs-a"] in names else None


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def etcd_call(server: Server, verb: str, **more: str) -> requests.Response:
    return server.ask("POST", f"/v3/kv/{verb}", json={"key": coded("verbs/a"), **more})


def key(server: Server) -> Shown:
    found = etcd_call(server, "range").json().get("kvs", [])
    return {"value": found[0]["value"]} if found else None


def put(path: str, name: str, **others: object) -> Callable[[Server, str], object]:
    return lambda server, own: server.ask("PUT", path, json={**others, name: own})


def gone(path: str) -> Callable[[Server], object]:
    return lambda server: server.ask("DELETE", path)


def dropped(server: Server) -> object:
    return server.ask("POST", "/query", data={"q": 'DROP DATABASE "verbs-a"'})


LIMIT = {"max-length": 5}


PERMISSION, POLICY = "/api/permissions/%2F/ann", "/api/policies/%2F/verbs"
CASES = {
    "rabbitmq": (
        Case(
            "rabbitmq-vhost/verbs%2Fa",
            some(VHOST, "description", "tags"),
            gone(VHOST),
            {"description": "one", "tags": ["b", "a"]},
            {"description": "two", "tags": []},
            put(VHOST, "description", tags=["z"]),
        ),
        Case(
            "rabbitmq-policy/%2F/verbs",
            some(POLICY, "pattern", "definition", "priority"),
            gone(POLICY),
            {"pattern": "^a", "definition": LIMIT},
            {"pattern": "^b", "definition": {"max-length": 9}, "priority": 3},
            put(POLICY, "pattern", definition=LIMIT, priority=7),
        ),
        Case(
            "rabbitmq-permission/%2F/ann",
            some(PERMISSION, "configure", "write", "read"),
            gone(PERMISSION),
            {"read": ".*"},
            {"write": "^a", "read": ".*"},
            put(PERMISSION, "configure", write="", read="^own"),
        ),
    ),
    "powerdns": (
        Case(
            "powerdns-zone/Verbs.example",
            zone,
            gone(ZONE),
            {"account": "one"},
            {"account": "two"},
            put(ZONE, "account", kind="Master"),
        ),
        Case(
            RECORD,
            rrset,
            lambda server: patched(server, "DELETE"),
            {"records": ["192.0.2.1"], "ttl": 60},
            {"records": ["192.0.2.2", "192.0.2.3"]},
            lambda server, own: patched(server, "REPLACE", f"192.0.2.{len(own)}"),
        ),
    ),
    "etcd": (
        Case(
            "etcd-key/verbs%2Fa",
            key,
            lambda server: etcd_call(server, "deleterange"),
            {"value": "one"},
            {"value": "two"},
            lambda server, own: etcd_call(server, "put", value=coded(own)),
        ),
    ),
    "influxdb": (Case("influxdb-database/verbs-a", databases, dropped),),
}
