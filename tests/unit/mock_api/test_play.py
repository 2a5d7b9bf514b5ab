"""The mock plays shipped kinds from their files: a walk finds nothing wrong."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

from lockstep.mock_api.faults import InputError
from lockstep.mock_api.play import PlayedCall, Things
from lockstep.producer import looks
from lockstep.producer.doctor import Level
from lockstep.producer.doctor.kinds import Walk
from lockstep.worker.hosts.client import Call
from lockstep.worker.kinds import Kinds, kinds_of
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.kinds.made import LEAST, kind_of
from tests.unit.kinds.schema import PAGE, PAGES, walk_text

NOT_PLAYED = {"influxdb-database", "group"}
"""The group has nodes of its own; the other says more than the mock can read backwards."""

ON_THE_MOCK = ("consul-key", "vault-policy")
"""What was walked on nothing else, as their pages say."""
UNTOLD = {name: ["create again", "update, absent"] for name in ("vault-policy", "powerdns-record")}
"""A PUT that says the same whether it was there or not, as the page on it says."""


def take(things: Things, call: PlayedCall) -> tuple[int, object]:
    """Carry a request out as a node does."""
    status, body, thing, held = things.land(call)
    if held:
        things.held[str(thing)] = held
    elif thing is not None:
        things.held.pop(thing, None)
    return status, body


def walked(kind: Kind, given: str | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is not well on a walk of the kind on what plays it."""
    things = Things(kind, {})

    def carry(request: Call) -> Reply:
        parts = urlsplit(request.url)
        sent = (request.body or b"").decode()
        status, body = take(things, PlayedCall(request.method, parts.path, parts.query, sent))
        return Reply(status, b"" if body is None else json.dumps(body).encode())

    monkeypatch.setattr(looks, "exchange", carry)
    walk = Walk(kind, kind.parse(f"{kind.name}/{given}"), Host(HostName("n"), "http://n:80"), Settings())
    found = {each.subject: each for each in walk.run()}
    assert "look at the end" in found
    if kind.name in ON_THE_MOCK:
        assert f"\n```text\n{walk_text(found.values())}```\n" in (PAGES / f"{kind.name}.md").read_text(
            "utf-8"
        )
    assert things.held == {}
    return [each.subject for each in found.values() if each.level is not Level.OK]


@pytest.mark.parametrize("name", sorted({*Kinds().names()} - NOT_PLAYED))
def test_a_shipped_kind_is_played_from_its_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kinds_of().find(name)
    assert walked(kind, kind.definition.examples.id, monkeypatch) == UNTOLD.get(name, [])


def test_the_kind_of_the_page_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    board = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]
    assert walked(kind_of(board), "team-a", monkeypatch) == []


def test_the_least_kind_is_played_too() -> None:
    kind = kind_of(LEAST)
    things, a = Things(kind, {}), kind.parse("vhost/a")
    made = take(things, PlayedCall("PUT", "/api/vhosts/a", "", '{"description": "x", "tags": ["b", "a"]}'))
    assert made == (200, None)
    status, body = take(things, PlayedCall("GET", "/api/vhosts/a", "", ""))
    shown = kind.shown(a, Reply(status, json.dumps(body).encode()))
    assert shown.content is not None
    assert shown.content.values == {"description": "x", "tags": ["a", "b"]}
    assert take(things, PlayedCall("GET", "/elsewhere", "", ""))[0] == 404


def test_a_kind_that_cannot_be_played_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match="influxdb-database cannot be played"):
        Things(kinds_of().find("influxdb-database"), {})
