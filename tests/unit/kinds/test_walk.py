"""What a walk finds of a file that does not fit its host: a small API, and each way in which it is odd."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from lockstep.producer import looks
from lockstep.producer.doctor import Finding, Level, kinds
from lockstep.producer.doctor.kinds import Walk
from lockstep.worker.hosts.client import Call
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.errors import HostUnavailable, InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.kinds.made import kind_of

FILE = """
kind: vhost
fields:
  description: {default: ""}
  tags: {type: set, default: []}
look: {request: "GET /vhosts/{id}", witness: GET /alive}
create: {request: "PUT /vhosts/{id}", applied: 201, replaced: 204}
update: {request: "PUT /vhosts/{id}", applied: 204, replaced: 201}
delete: DELETE /vhosts/{id}
"""


@dataclass
class Api:
    """Keeps things by path; `odd` says in which ways it does not do what the file says."""

    odd: str = ""
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    serial: int = 0
    put: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: Call) -> Reply | NoReply:
        path = urlsplit(request.url).path
        there = self.held.get(path)
        given = json.loads(request.body or b"{}")
        match request.method:
            case "GET" if path == "/alive":
                return _reply(200, {})
            case "GET":
                return _reply(404, {}) if there is None else _reply(200, self._shown(there))
            case "PUT":
                return self._put(path, there, given)
        if there is None:
            return _reply(204 if self.odd == "delete says yes" else 404, {"message": "no such thing"})
        if self.odd == "delete does nothing":
            return _reply(204)
        del self.held[path]
        return _reply(204)

    def _put(self, path: str, there: dict[str, Any] | None, given: dict[str, Any]) -> Reply | NoReply:
        if self.odd == "silent":
            return NoReply(Trouble.LOST, "read timeout")
        if self.odd == "refuses":
            return _reply(403, {"message": "not you"})
        if there is not None and self.odd == "create conflicts":
            return _reply(409, {"message": "it is there"})
        if there is not None and self.odd == "says no and does it":
            self.held[path] = given
            return _reply(409)
        self.serial += 1
        self.put.append(given)
        given = {**given, "seed": given.get("seed") or f"s{self.serial}"}
        kept = {**(there or {}), **given} if self.odd == "merges" else dict(given)
        self.held[path] = (
            there if there is not None and self.odd == "ignores" else {**kept, "etag": self.serial}
        )
        return _reply(200 if self.odd == "says 200" else 201 if there is None else 204)

    def _shown(self, there: dict[str, Any]) -> dict[str, Any]:
        if self.odd == "rewrites":
            return {**there, "description": str(there.get("description", "")).upper()}
        return there


def _reply(status: int, body: object = None) -> Reply:
    return Reply(status, b"" if body is None else json.dumps(body).encode())


Walked = Callable[..., dict[str, Finding]]


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> Walked:
    def walk(odd: str = "", text: str = FILE, api: Api | None = None) -> dict[str, Finding]:
        made = api or Api(odd)
        monkeypatch.setattr(looks, "exchange", made)
        kind: Kind = kind_of(text)
        walking = Walk(kind, kind.parse("vhost/scratch"), Host(HostName("n"), "http://n:80"), Settings())
        found = {each.subject: each for each in walking.run()}
        assert walking.left == bool(made.held)
        return found

    return walk


def wrong(found: dict[str, Finding]) -> dict[str, str]:
    return {each.subject: each.text for each in found.values() if each.level is not Level.OK}


def test_a_file_that_fits_is_well(walked: Walked) -> None:
    found = walked()
    assert wrong(found) == {}
    assert found["create again"].text == "204: it overwrites, as the file says (replaced)"
    assert found["create, over"].text == "a create writes over description, tags"
    assert found["look after create"].text == "shows what was written"
    assert found["undo of the update"].text == "204, and all that a look showed is back"
    assert found["undo of the delete"].text == "201, and all that a look showed is back"
    assert "look, elsewhere" not in found, "what looks absent is told by the witness"
    assert found["update, absent"].text == "201 (replaced)"


def test_an_answer_that_has_no_name_is_named(walked: Walked) -> None:
    assert wrong(walked("says 200"))["create"].startswith(
        "200 is no answer that the file names; a look then shows"
    )
    assert wrong(walked("refuses")) == {"create": "403: not you (refused); a look then shows absent"}
    assert "read timeout" in wrong(walked("silent"))["create"]


def test_a_write_that_overwrites_unseen_is_named(walked: Walked) -> None:
    unnamed = FILE.replace("applied: 201, replaced: 204", "applied: [201, 204]")
    found = walked(text=unnamed)
    assert wrong(found)["create again"] == "204 is named as applied, and it wrote over what was there"
    assert found["create again"].remedy == "name it as `replaced`"
    made = FILE.replace("applied: 204, replaced: 201", "applied: [201, 204]")
    assert wrong(walked(text=made)) == {
        "update, absent": "201 is named as applied, and it made a thing that was gone"
    }


def test_a_write_that_says_no_and_does_it_and_one_that_says_yes_and_does_not(walked: Walked) -> None:
    assert "named as contested, and it wrote over" in wrong(walked("says no and does it"))["create again"]
    assert wrong(walked("ignores"))["look after update"] == (
        "description comes back as 'lockstep-a'; tags comes back as ['a']"
    )
    nothing = wrong(walked("delete does nothing"))
    assert nothing["look after delete"] == "200: it shows content"
    assert nothing["clean-up"] == "vhost/scratch could not be deleted"


def test_a_field_that_comes_back_in_another_form_is_named(walked: Walked) -> None:
    found = walked("rewrites")
    assert wrong(found)["look after create"] == "description comes back as 'LOCKSTEP-A'"
    assert "rewritten: true" in str(found["look after create"].remedy)
    said = FILE.replace('description: {default: ""}', 'description: {default: "", rewritten: true}')
    like = walked("rewrites", said)
    assert "look after create" not in wrong(like)
    assert like["look after create"].text == "shows what was written, in another form, as the file says"


def test_what_an_undo_does_not_bring_back_is_named(walked: Walked) -> None:
    kept = FILE.replace("witness: GET /alive", "witness: GET /alive, keep: {etag: item.etag}")
    found = walked(text=kept)
    assert wrong(found)["undo of the update"] == "204, but it does not bring back kept etag"
    assert "`loses`" in str(found["undo of the delete"].remedy)


def test_a_field_that_an_update_adds_has_to_go_with_its_undo(walked: Walked) -> None:
    optional = FILE.replace('description: {default: ""}', "description: {}")
    assert wrong(walked(text=optional)) == {}
    found = walked("merges", optional)
    assert wrong(found)["undo of the update"] == "204, but it does not bring back description"
    assert "or_null()" in str(found["undo of the update"].remedy)
    says_null = "json: {tags: content.tags, description: or_null(content.description)}, applied: 204"
    assert wrong(walked("merges", optional.replace("applied: 204", says_null))) == {}


def test_a_404_that_does_not_mean_absence_is_named(walked: Walked) -> None:
    found = walked(text=FILE.replace(", witness: GET /alive", ""))
    assert found["look, elsewhere"].level is Level.WARNING
    assert "does not mean absent" in found["look, elsewhere"].text


def test_nothing_is_written_where_the_thing_is_there_or_nothing_can_be_seen(walked: Walked) -> None:
    held = {"/vhosts/scratch": {"description": "dear", "tags": []}}
    with pytest.raises(InvalidInput, match="vhost/scratch is there"):
        walked(api=Api(held=held))
    assert held["/vhosts/scratch"]["description"] == "dear"
    with pytest.raises(HostUnavailable, match="does not show that vhost/scratch is absent"):
        walked(text=FILE.replace("GET /alive", "GET /elsewhere"))


def test_a_delete_of_what_is_gone_may_say_anything_that_is_named(walked: Walked) -> None:
    assert walked("delete says yes")["delete again"].text == "204 (applied)"


def test_what_a_file_says_that_is_lost_is_told_of_the_undo_of_a_delete_alone(walked: Walked) -> None:
    loses = FILE.replace(
        "delete: DELETE /vhosts/{id}", "delete: {request: 'DELETE /vhosts/{id}', loses: its queues}"
    )
    found = walked(text=loses)
    back = "and all that a look showed is back"
    assert found["undo of the update"].text == f"204, {back}"
    assert found["undo of the delete"].text == f"201, {back}; the file says that it loses its queues"


def test_what_a_look_keeps_is_sent_with_an_update_and_with_what_undoes_one(walked: Walked) -> None:
    text = FILE.replace("witness: GET /alive", "witness: GET /alive, keep: {seed: item.seed}")
    sent = "json: {description: content.description, tags: content.tags, seed: kept.seed}"
    text = text.replace("applied: 201, replaced", f"{sent}, applied: 201, replaced")
    text = text.replace("applied: 204, replaced", f"{sent}, applied: 204, replaced")
    api = Api()
    assert wrong(walked(text=text, api=api)) == {}
    two_creates, others = (
        [given.get("seed") for given in api.put[:2]],
        {given["seed"] for given in api.put[2:]},
    )
    assert (two_creates, others, len(api.put)) == ([None, None], {"s2"}, 6)


def test_a_kind_without_examples_is_walked_with_two_contents_that_its_types_allow() -> None:
    text = FILE.replace(
        "fields:",
        """fields:
  name: {type: string, required: true}
  pin: {secret: true}
  count: {type: integer, default: 7}
  ratio: {type: number, default: 7}
  open: {type: boolean, default: true}
  only: {type: string, default: one, values: [one]}
  either: {type: string, default: one, values: [one, two, three]}
  maybe: {type: string}""",
    )
    kind = kind_of(text)
    assert not Walk(kind, kind.parse("vhost/scratch"), Host(HostName("n"), "http://n:80"), Settings()).left
    one, other = kinds._contents(kind)
    both = {"description": "lockstep-a", "tags": ["a"], "only": "one"}
    assert one == both | {
        "name": "lockstep-a",
        "pin": "lockstep-a",
        "count": 1,
        "ratio": 1,
        "open": True,
        "either": "one",
    }
    both |= {"description": "lockstep-b", "tags": ["b", "c"]}
    other_of = {
        "name": "lockstep-b",
        "pin": "lockstep-b",
        "count": 2,
        "ratio": 2,
        "open": False,
        "either": "two",
    }
    assert other == both | other_of | {"maybe": "lockstep-b"}
