"""Ids, and each place that they go to: path, query, header, form, JSON, text, another language, the lock."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, quote, unquote

import pytest

from lockstep.worker.operation.errors import InvalidInput
from tests.unit.kinds.made import HOSTILE, kind_of, shipped, thing

EVERYWHERE = kind_of("""
kind: every
id: {parts: [a, b], pattern: "(?s).{1,1000}"}
look: GET /x/{a}/y-{b}
create:
  request: POST /x
  query: {q: id.a, b: id.b}
  headers: {X-Where: quote(id.b)}
  json: {a: id.a, inner: [id.b, {deep: "concat('<', id.a, '>')"}]}
update: {request: POST /x, form: {q: "concat('CREATE ', quote(id.a))", b: id.b}}
delete: {request: "DELETE /x/{a}", text: id.b}
""")


@pytest.mark.parametrize("value", HOSTILE)
def test_a_part_is_encoded_for_its_place_and_arrives_as_it_is(value: str) -> None:
    text = f"every/{quote(value, safe='')}/b"
    one = EVERYWHERE.parse(text)
    assert one.parts == {"a": value, "b": "b"}
    assert EVERYWHERE.parse(one.text) == one

    look = EVERYWHERE.request("look", one)
    assert look.path.isascii()
    assert look.path.split("/")[2:] == [quote(value, safe=""), "y-b"]

    create = EVERYWHERE.request("create", one)
    assert parse_qs(create.path.partition("?")[2], strict_parsing=True) == {"q": [value], "b": ["b"]}
    assert json.loads(create.body or b"") == {"a": value, "inner": ["b", {"deep": f"<{value}>"}]}

    update = EVERYWHERE.request("update", one)
    (command,) = parse_qs((update.body or b"").decode(), strict_parsing=True)["q"]
    assert command.startswith('CREATE "')
    assert command[8:-1].replace('\\"', "").replace("\\\\", "").count('"') == 0
    assert update.headers["Content-Type"] == "application/x-www-form-urlencoded"
    delete = EVERYWHERE.request("delete", EVERYWHERE.parse(f"every/b/{quote(value, safe='')}"))
    assert delete.body == value.encode()
    assert unquote(one.text.split("/")[1]) == value
    assert EVERYWHERE.lock(one) == one.text


@pytest.mark.parametrize("value", [".", "..", "", "\n", "a\0", "\x7f", "a\r\nb", "\x85"])
def test_a_part_that_servers_resolve_away_or_a_control_character_is_refused_everywhere(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"empty, or a path segment|control character"):
        EVERYWHERE.parse(f"every/{quote(value, safe='')}/b")
    with pytest.raises(InvalidInput, match=r"empty, or a path segment|control character"):
        EVERYWHERE.parse(f"every/b/{value}")


@pytest.mark.parametrize(
    "text", ["every/a", "every/a/b/c", "other/a/b", "every/%/b", "every/%ff/b", "every/%ZZ/b"]
)
def test_what_is_no_id_of_the_kind_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        EVERYWHERE.parse(text)
    assert "\n" not in str(error.value)


def test_an_escaped_dot_is_a_dot_and_an_escaped_escape_is_not() -> None:
    with pytest.raises(InvalidInput, match="resolve away"):
        EVERYWHERE.parse("every/%2E%2E/b")
    kept = EVERYWHERE.parse("every/%252E%252E/b")
    assert kept.parts["a"] == "%2E%2E"
    assert EVERYWHERE.request("look", kept).path == "/x/%252E%252E/y-b"


@pytest.mark.parametrize("value", ["ä", "a\tb"])
def test_a_header_that_cannot_carry_a_value_is_refused(value: str) -> None:
    kind = kind_of(
        "kind: h\nid: {pattern: '.*'}\nlook: GET /{id}\n"
        "create: {request: 'PUT /{id}', headers: {X-Id: id.id}}\ndelete: DELETE /{id}\n"
    )
    if value == "ä":
        with pytest.raises(InvalidInput, match="header X-Id"):
            kind.request("create", thing(kind, quote(value)))
    else:
        with pytest.raises(InvalidInput):
            thing(kind, quote(value))


def test_two_names_of_one_thing_have_one_form_and_one_lock() -> None:
    record, zone = shipped("powerdns-record"), shipped("powerdns-zone")
    one, other = (
        record.parse("powerdns-record/Example.org/WWW.example.org/A"),
        record.parse("powerdns-record/example.org./www.example.org./A"),
    )
    assert one == other
    assert record.lock(one) == zone.lock(zone.parse("powerdns-zone/EXAMPLE.org")) == "powerdns/example.org."
    policy, vhost = shipped("rabbitmq-policy"), shipped("rabbitmq-vhost")
    assert policy.lock(policy.parse("rabbitmq-policy/%2F/p")) == vhost.lock(vhost.parse("rabbitmq-vhost/%2F"))


def test_a_canonical_form_that_is_none_is_refused() -> None:
    kind = kind_of(
        "kind: c\nid: {canonical: {id: \"concat(@, 'x')\"}}\n"
        "look: GET /{id}\ncreate: PUT /{id}\ndelete: DELETE /{id}\n"
    )
    with pytest.raises(InvalidInput, match="no one form"):
        kind.parse("c/a")
