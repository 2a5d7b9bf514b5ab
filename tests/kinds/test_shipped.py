"""Shipped kinds on real servers: what a walk finds there, on three instances of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import requests

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.doctor.kinds import Walk
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.hosts.curl import exchange
from lockstep.worker.kinds import kinds_of
from lockstep.worker.operation.content import Effect, Flaw, Sight
from lockstep.worker.operation.host import Auth
from lockstep.worker.operation.model import AttemptId
from lockstep.worker.settings import Settings
from tests.kinds.servers import Server
from tests.unit.kinds.made import Relation, relation, same
from tests.unit.kinds.schema import PAGES, walk_text
from tests.waits import PATIENCE

ATTEMPT = AttemptId("a1")


def walked(server: Server, name: str, given: str | None = None) -> dict[str, Finding]:
    kind = kinds_of().find(name)
    thing = kind.parse(f"{name}/{given or kind.definition.examples.id}")
    walk = Walk(kind, thing, server.host, Settings())
    found = {each.subject: each for each in walk.run()}
    assert not walk.left
    page = (PAGES / f"{name}.md").read_text("utf-8")
    if given is None or f" --id {given}`" in page:
        assert f"\n```text\n{walk_text(found.values())}```\n" in page
    return found


def test_etcd(etcd: list[Server]) -> None:
    for server in etcd:
        found = walked(server, "etcd-key")
        assert [each for each in found.values() if each.level is not Level.OK] == []
        assert found["create again"].text == "200: it changes nothing, as the file says (contested)"
        assert "(later)" in found["update, absent"].text


def test_powerdns(powerdns: list[Server]) -> None:
    for server in powerdns:
        found = walked(server, "powerdns-zone")
        assert [each for each in found.values() if each.level is not Level.OK] == []
        assert found["create again"].text.startswith("409: Conflict: it changes nothing")
    server = powerdns[0]
    zone = {"name": "team-a.example.", "kind": "Native", "nameservers": []}
    assert server.ask("POST", "/api/v1/servers/localhost/zones", json=zone).status_code == 201
    found = walked(server, "powerdns-record")
    # PATCH says 204 whatever was there before: who overwrites nobody can tell.
    assert [each.subject for each in found.values() if each.level is not Level.OK] == PATCHED
    six = walked(server, "powerdns-record", "team-a.example/six.team-a.example/AAAA")
    assert six["create"].level is Level.FAILURE, "an address of IPv4 is none of IPv6"


PATCHED = ["create again", "update, absent"]


def test_a_zone_comes_back_with_its_records_after_a_delete(powerdns: list[Server]) -> None:
    server, kind = powerdns[1], kinds_of().find("powerdns-zone")
    records = [{"content": "192.0.2.7", "disabled": False}]
    rrset = {"name": "www.kept.example.", "type": "A", "ttl": 60, "records": records}
    zone = {"name": "kept.example.", "kind": "Native", "nameservers": [], "rrsets": [rrset]}
    assert server.ask("POST", "/api/v1/servers/localhost/zones", json=zone).status_code == 201
    host, thing = server.client(), kind.parse("powerdns-zone/Kept.example")
    before = host.look_at_thing(kind, thing).content
    assert before is not None
    deleted = kind.request("delete", thing)
    assert host.send(kind, "delete", thing, deleted, ATTEMPT, lambda: True).effect is Effect.APPLIED
    assert host.look_at_thing(kind, thing).sight is Sight.ABSENT
    back = kind.request("create", thing, content=before, kept=before.kept)
    assert host.send(kind, "create", thing, back, ATTEMPT, lambda: True).effect is Effect.APPLIED
    shown = host.look_at_thing(kind, thing).content
    assert relation(kind, before, None, shown, inverse="create") is Relation.BEFORE
    served = server.ask("GET", "/api/v1/servers/localhost/zones/kept.example.").json()["rrsets"]
    assert "192.0.2.7" in str(served)


def test_a_wrong_server_id_or_key_of_powerdns_is_no_absence(powerdns: list[Server], tmp_path: Path) -> None:
    server, kind = powerdns[2], kinds_of().find("powerdns-zone")
    thing = kind.parse("powerdns-zone/nowhere.example")
    assert server.client().look_at_thing(kind, thing).sight is Sight.ABSENT
    (tmp_path / "key").write_text("not-the-key")
    wrong = HostClient(
        replace(server.host, auth=Auth(str(tmp_path / "key"), "X-API-Key")), Settings(), exchange
    )
    assert wrong.look_at_thing(kind, thing).flaw is Flaw.MISCONFIGURED
    elsewhere = HostClient(replace(server.host, url=f"{server.url}/elsewhere"), Settings(), exchange)
    shown = elsewhere.look_at_thing(kind, thing)
    assert (shown.sight, "its witness said 404" in shown.text) == (Sight.NOTHING, True)


def test_influxdb(influxdb: list[Server]) -> None:
    for server in influxdb:
        found = walked(server, "influxdb-database")
        # CREATE DATABASE says the same whether it was there or not, and changes nothing then.
        assert [each.subject for each in found.values() if each.level is not Level.OK] == ["create again"]


def test_rabbitmq(rabbitmq: list[Server]) -> None:
    server = rabbitmq[0]
    assert server.ask("PUT", "/api/users/alice-of-old", json={"tags": "", "password": "x" * 9}).ok
    for name, given in (
        ("rabbitmq-vhost", None),
        ("rabbitmq-vhost", "a%2Fb%20%22c%22"),
        ("rabbitmq-user", None),
        ("rabbitmq-policy", None),
        ("rabbitmq-permission", "%2F/alice-of-old"),
    ):
        found = walked(server, name, given)
        assert [each for each in found.values() if each.level is not Level.OK] == [], name
        assert "(replaced)" in found["create again"].text
        assert found["update, absent"].text == "201 (replaced)"


def test_the_old_password_of_a_user_logs_in_after_an_undo(rabbitmq: list[Server]) -> None:
    server, kind = rabbitmq[1], kinds_of().find("rabbitmq-user")
    given = {"tags": "management", "password": "old-password"}
    assert server.ask("PUT", "/api/users/bob", json=given).ok
    host, thing = server.client(), kind.parse("rabbitmq-user/bob")

    def logs_in(password: str) -> bool:
        return requests.get(f"{server.url}/api/whoami", auth=("bob", password), timeout=PATIENCE).ok

    before = host.look_at_thing(kind, thing).content
    assert before is not None
    assert logs_in("old-password")
    for wish, secret, works in (
        ({"tags": ["administrator"]}, {}, "old-password"),  # a PUT of the tags alone would take it away
        ({"tags": ["administrator"]}, {"password": "new-password"}, "new-password"),
    ):
        asked = kind.request("update", thing, content=kind.target(wish), kept=before.kept, secret=secret)
        assert host.send(kind, "update", thing, asked, ATTEMPT, lambda: True).effect is Effect.APPLIED
        assert logs_in(works)
    changed = host.look_at_thing(kind, thing).content
    assert relation(kind, before, kind.target({"tags": []}), changed, inverse="update") is Relation.FOREIGN
    undo = kind.request("update", thing, content=before, kept=before.kept)
    assert host.send(kind, "update", thing, undo, ATTEMPT, lambda: True).effect is Effect.APPLIED
    assert same(before, host.look_at_thing(kind, thing).content, tuple(kind.kept_for("update")))
    assert logs_in("old-password")
    assert not logs_in("new-password")
