"""What answers show and say: each way in which a server's answer was taken for more than it tells."""

from __future__ import annotations

import base64
import json

import pytest

from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.content import Content, Effect, Flaw, Sight
from lockstep.worker.operation.errors import InvalidInput
from tests.unit.kinds.made import content_of, least, reply, shipped, thing

VHOST, USER, ETCD = shipped("rabbitmq-vhost"), shipped("rabbitmq-user"), shipped("etcd-key")
ZONE, RECORD, INFLUX = shipped("powerdns-zone"), shipped("powerdns-record"), shipped("influxdb-database")
WELL = reply(200, {})


@pytest.mark.parametrize(
    "status", [100, 301, 302, 304, 307, 401, 403, 405, 407, 408, 410, 425, 429, 499, 500, 502, 503, 599]
)
@pytest.mark.parametrize("kind", [VHOST, ZONE, RECORD, ETCD, INFLUX, least()], ids=lambda kind: kind.name)
def test_no_answer_that_is_not_named_is_absent_or_present(kind: Kind, status: int) -> None:
    named = thing(kind, {"powerdns-record": "a/b/A"}.get(kind.name, "a"))
    for body in (None, {}, {"name": "a", "id": "a."}, b"<html>"):
        assert kind.shown(named, reply(status, body), WELL).sight is Sight.NOTHING


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b"[]",
        b'"a"',
        b"null",
        b"\xff",
        b'{"name": "b"}',
        b'{"name": "a", "name": "a"}',
        b'{"name": "a", "x": NaN}',
        b'{"name": "a", "x": "\\ud800"}',
        b'{"name": "a", "x": 1' + b"0" * 5000 + b"}",
        b'{"name": "a", "x": ' + b"[" * 33 + b"]" * 33 + b"}",
    ],
)
def test_a_body_that_cannot_be_read_is_neither(body: bytes) -> None:
    assert VHOST.shown(thing(VHOST), Reply(200, body), WELL).sight is Sight.NOTHING
    assert VHOST.shown(thing(VHOST), reply(200, {"name": "a"})).sight is Sight.CONTENT


def test_a_404_of_another_place_needs_a_witness_to_be_absence() -> None:
    absent = reply(404, {"error": "Object Not Found"})
    assert VHOST.shown(thing(VHOST), absent, WELL).sight is Sight.ABSENT
    assert VHOST.shown(thing(VHOST), absent, reply(299)).sight is Sight.ABSENT
    for witness in (
        None,
        reply(404),
        reply(401),
        reply(300),
        reply(302),
        reply(503),
        NoReply(Trouble.LOST, "reset"),
    ):
        shown = VHOST.shown(thing(VHOST), absent, witness)
        assert (shown.sight, "witness" in shown.text) == (Sight.NOTHING, True)
    assert VHOST.shown(thing(VHOST), absent, reply(401)).flaw is Flaw.MISCONFIGURED
    asked = VHOST.look.witness(thing(VHOST))
    assert asked is not None
    assert (asked.method, asked.path) == ("GET", "/api/whoami")


def test_a_missing_zone_is_no_missing_record() -> None:
    record = thing(RECORD, "example.org/www.example.org/A")
    assert RECORD.shown(record, reply(404, b"Not Found")).sight is Sight.NOTHING
    assert RECORD.shown(record, reply(200, {"id": "example.org.", "rrsets": []})).sight is Sight.ABSENT
    disabled = {"ttl": 5, "records": [{"content": "192.0.2.1", "disabled": True}]}
    assert (
        RECORD.shown(record, reply(200, {"id": "example.org.", "rrsets": [disabled]})).sight is Sight.NOTHING
    )


def test_a_list_shows_one_thing_or_none_and_two_are_a_mistake() -> None:
    key = thing(ETCD)
    head = {"header": {"revision": "7"}}
    found = {"value": base64.b64encode(b"v").decode(), "mod_revision": "5"}
    assert ETCD.shown(key, reply(200, head)).sight is Sight.ABSENT
    shown = content_of(ETCD, reply(200, {**head, "kvs": [found]}))
    assert (shown.values, shown.version) == ({"value": "v"}, "5")
    assert ETCD.shown(key, reply(200, {**head, "kvs": [found, found]})).flaw is Flaw.MISCONFIGURED
    assert ETCD.shown(key, reply(200, {})).sight is Sight.NOTHING
    binary = {**found, "value": base64.b64encode(b"\xff").decode()}
    assert ETCD.shown(key, reply(200, {**head, "kvs": [binary]})).flaw is Flaw.MISCONFIGURED


OF_ITEM = "{request: GET /x, content: {description: item, tags: item}}"
WHERE = "{request: GET /x, present: {status: 200, where: body.a}}"


@pytest.mark.parametrize(
    ("changed", "body", "why"),
    [
        ({}, "text", "what it shows is no JSON object"),
        ({}, b"<html>", "the body is no JSON"),
        ({"fields": "{}"}, b"<html>", "the body is no JSON"),
        ({"look": OF_ITEM}, b"null", "no JSON object"),
        (
            {"look": WHERE},
            {"a": False},
            "is not what the kind",
        ),
        (
            {"look": WHERE},
            b"\xff",
            "the body is not UTF-8",
        ),
    ],
)
def test_what_a_body_lacks_is_said(changed: dict[str, str], body: object, why: str) -> None:
    kind = least(**changed)
    shown = kind.shown(thing(kind), reply(200, body))
    assert (shown.flaw, why in shown.text) == (Flaw.UNREADABLE, True), shown


def test_a_text_is_content_where_expressions_say_what_its_fields_are() -> None:
    kind = least(look="{request: GET /x, item: body.it, content: {description: item, tags: '[]'}}")
    assert content_of(kind, reply(200, {"it": "text"})).values["description"] == "text"


def test_what_is_named_as_present_and_as_absent_is_neither() -> None:
    kind = least(look="{request: 'GET /x/{id}', absent: [404, {status: 200, where: body.gone}]}")
    shown = kind.shown(thing(kind), reply(200, {"gone": True}))
    assert (shown.text, shown.flaw) == ("200 is named as present and as absent", Flaw.MISCONFIGURED)


def test_a_truncated_list_does_not_show_absence() -> None:
    kind = least(
        look="{request: GET /x, item: \"select(body.items, 'name', id.id)\", complete: '!(body.more)'}"
    )
    assert kind.shown(thing(kind), reply(200, {"items": [], "more": True})).flaw is Flaw.UNREADABLE
    assert kind.shown(thing(kind), reply(200, {"items": [], "more": False})).sight is Sight.ABSENT
    assert (
        kind.shown(thing(kind), reply(200, {"items": [{"name": "a"}], "more": True})).sight is Sight.CONTENT
    )


def test_a_thing_that_is_being_deleted_counts_as_nothing() -> None:
    busy = "[409, {status: 200, where: \"body.state == 'deleting'\"}]"
    kind = least(
        look=f"{{request: 'GET /x/{{id}}', busy: {busy}}}",
        delete="{request: 'DELETE /x/{id}', repeat: false}",
    )
    assert kind.shown(thing(kind), reply(200, {"state": "deleting"})).sight is Sight.BUSY
    assert kind.shown(thing(kind), reply(409)).sight is Sight.BUSY
    assert kind.shown(thing(kind), reply(200, {"state": None})).sight is Sight.CONTENT
    assert kind.said("delete", thing(kind), reply(202)).effect is Effect.STARTED
    assert not kind.writes["delete"].file.repeat
    assert kind.writes["create"].file.repeat


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (200, "applied"),
        (201, "applied"),
        (204, "applied"),
        (202, "started"),
        (203, "unknown"),
        (304, "misdirected"),
        (301, "misdirected"),
        (399, "misdirected"),
        (400, "contested"),
        (404, "contested"),
        (409, "contested"),
        (410, "contested"),
        (422, "contested"),
        (401, "refused"),
        (403, "refused"),
        (405, "refused"),
        (407, "refused"),
        (412, "later"),
        (423, "later"),
        (408, "unknown"),
        (425, "unknown"),
        (429, "unknown"),
        (499, "unknown"),
        (500, "unknown"),
        (503, "unknown"),
        (599, "unknown"),
    ],
)
def test_what_an_answer_means_where_the_file_says_nothing(status: int, effect: str) -> None:
    kind = least()
    assert kind.said("create", thing(kind), Reply(status, b"")).effect == effect


def test_what_overwrote_something_is_told_from_what_made_it() -> None:
    a = thing(VHOST)
    assert VHOST.said("create", a, reply(201)).effect is Effect.APPLIED
    assert VHOST.said("create", a, reply(204)).effect is Effect.REPLACED
    assert VHOST.said("update", a, reply(201)).effect is Effect.REPLACED
    assert VHOST.said("create", a, reply(200)).effect is Effect.UNKNOWN


def test_an_error_in_the_body_of_a_200_is_no_success() -> None:
    a = thing(INFLUX)
    failed = reply(200, {"results": [{"error": "no such thing"}]})
    assert INFLUX.said("create", a, failed).effect is Effect.CONTESTED
    assert INFLUX.said("create", a, failed).text == "200: no such thing"
    assert INFLUX.said("create", a, reply(200, {"results": [{}]})).effect is Effect.APPLIED
    assert INFLUX.said("create", a, reply(200, b"<html>")).effect is Effect.UNKNOWN
    assert INFLUX.said("create", a, reply(200, {})).effect is Effect.UNKNOWN


def test_a_changed_version_is_to_look_again_and_a_where_must_give_true_or_false() -> None:
    a = thing(ETCD)
    lost = reply(200, {"header": {"revision": "8"}})
    assert ETCD.said("update", a, lost).effect is Effect.LATER
    assert ETCD.said("create", a, lost).effect is Effect.CONTESTED
    assert (
        ETCD.said("update", a, reply(200, {"header": {"revision": "8"}, "succeeded": True})).effect
        is Effect.APPLIED
    )
    asked = ETCD.request("update", a, content=Content({"value": "w"}), shown=Content(version="5"))
    assert json.loads(asked.body or b"")["compare"][0]["mod_revision"] == "5"
    kind = least(create="{request: 'PUT /x/{id}', applied: {status: 200, where: body.ok}}")
    assert kind.said("create", thing(kind), reply(200, {"ok": True})).effect is Effect.APPLIED
    odd = kind.said("create", thing(kind), reply(200, {"ok": "yes"}))
    assert (odd.effect, odd.unreadable) == (Effect.UNKNOWN, True)


@pytest.mark.parametrize(
    ("classes", "answer", "text"),
    [
        (
            "applied: {status: 200, where: body.ok}",
            reply(200, {"ok": False}),
            "not what the kind says of this",
        ),
        ("applied: {status: 200, where: body.ok}", reply(200, b"\xff"), "the body is not UTF-8"),
        (
            "contested: {status: 401, where: body.is}",
            reply(401, {"is": False}),
            "not what the kind says of this",
        ),
        ("contested: 409", reply(400), "400"),
    ],
)
def test_an_answer_that_is_named_and_not_meant_is_unknown(classes: str, answer: Reply, text: str) -> None:
    kind = least(create=f"{{request: 'PUT /x/{{id}}', {classes}}}")
    said = kind.said("create", thing(kind), answer)
    assert (said.effect, text in said.text) == (Effect.UNKNOWN, True), said


def test_a_write_sends_the_kept_values_that_it_names_or_all() -> None:
    keep = "{request: 'GET /x/{id}', keep: {a: item.a, b: item.b}}"
    for sent, names in (("kept.a", {"a"}), ("over(kept, kept)", {"a", "b"})):
        kind = least(look=keep, create=f"{{request: 'PUT /x/{{id}}', json: {{x: '{sent}'}}}}")
        assert kind.kept_for("create") == names


def test_an_answer_that_is_named_twice_is_unknown() -> None:
    kind = least(create="{request: 'PUT /x/{id}', applied: 201, replaced: {status: 201, where: body.old}}")
    assert kind.said("create", thing(kind), reply(201, {"old": False})).effect is Effect.APPLIED
    twice = kind.said("create", thing(kind), reply(201, {"old": True}))
    assert (twice.effect, twice.unreadable) == (Effect.UNKNOWN, True)


def test_the_words_of_a_refusal_come_without_the_secrets_of_the_request() -> None:
    a = thing(USER)
    secret = "s3cret/päss"
    encoded = base64.b64encode(secret.encode()).decode()
    said = USER.said("create", a, reply(400, {"reason": f"bad {secret} {encoded}\n{'x' * 500}"}), [secret])
    assert said.text.startswith("400: bad … … xxx")
    assert len(said.text) == len("400: ") + 200
    assert USER.said("create", a, reply(400, {"reason": "bad abc"}), ["abc"]).text == "400"


def test_a_body_over_the_cap_is_present_and_cannot_be_kept() -> None:
    assert VHOST.shown(thing(VHOST), Reply(200, None)).sight is Sight.OVERSIZED
    assert ETCD.shown(thing(ETCD), Reply(200, None)).sight is Sight.NOTHING
    assert VHOST.shown(thing(VHOST), Reply(404, None), WELL).sight is Sight.ABSENT


def test_an_id_of_the_server_stands_in_the_path_of_a_write() -> None:
    kind = least(
        look="{request: 'GET /x', query: {n: id.id}, item: body.items, absent: [], address: item.uid}",
        update="PUT /x/{address}",
        delete="DELETE /x/{address}",
    )
    shown = content_of(kind, reply(200, {"items": [{"uid": "u/1"}]}))
    assert kind.request("delete", thing(kind), shown=shown).path == "/x/u%2F1"
    for address in (None, "", "..", "a\n"):
        with pytest.raises(InvalidInput, match=r"(?<!\{)\{address\} is nothing"):
            kind.request("delete", thing(kind), shown=Content(address=address))
