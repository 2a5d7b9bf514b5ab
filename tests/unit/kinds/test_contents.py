"""What a host holds as content: what makes two the same, and what people may ask for."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from lockstep.producer.operators.plan import diff
from lockstep.worker.kinds import asked_of
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.content import Content, Unreadable, read_json
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process.secrets import mask
from tests.unit.kinds.made import Relation, content_of, kind_of, least, relation, reply, shipped, thing

VHOST, USER, RECORD = shipped("rabbitmq-vhost"), shipped("rabbitmq-user"), shipped("powerdns-record")


def test_a_user_is_brought_back_with_the_hash_that_was_kept() -> None:
    a = thing(USER)
    before = content_of(
        USER, reply(200, {"name": "a", "tags": ["x", "b"], "password_hash": "H", "hashing_algorithm": "sha"})
    )
    assert before.values == {"tags": ["b", "x"]}
    changed = USER.request("update", a, content=Content({"tags": ["c"]}), kept=before.kept)
    assert json.loads(changed.body or b"") == {
        "tags": ["c"],
        "password_hash": "H",
        "hashing_algorithm": "sha",
    }
    given = USER.request("update", a, content=before, kept=before.kept, secret={"password": "new-password"})
    assert json.loads(given.body or b"") == {"tags": ["b", "x"], "password": "new-password"}
    # The hash is part of the proof of an undo, though no field shows it.
    wiped = Content(before.values, {**before.kept, "password_hash": ""})
    assert relation(USER, before, Content({"tags": ["c"]}), wiped, inverse="update") is Relation.FOREIGN
    assert relation(USER, before, Content({"tags": ["c"]}), before, inverse="update") is Relation.BEFORE
    assert USER.kept_for("create") == {"password_hash", "hashing_algorithm"}
    assert USER.kept_for("delete") == set()
    assert (USER.loses("update", ["password"]), USER.loses("delete")) == ([], ["its permissions"])
    bare = kind_of(
        "kind: u\nfields: {p: {secret: true}}\nlook: GET /{id}\ncreate: PUT /{id}\ndelete: DELETE /{id}\n"
    )
    assert bare.loses("delete") == bare.loses("delete", ["p"]) == ["its old p"]


def test_only_what_a_file_declares_as_rewritten_is_taken_for_ours() -> None:
    target = RECORD.target({"records": ["2001:0db8::0002"], "ttl": 60})
    shown = Content({"ttl": 60, "records": ["2001:db8::2"]})
    other = Content({"ttl": 61, "records": ["2001:db8::2"]})
    assert relation(RECORD, None, target, shown) is Relation.LIKE
    assert relation(RECORD, None, target, other) is Relation.FOREIGN
    assert relation(RECORD, None, target, shown, as_seen=shown) is Relation.TARGET
    assert relation(RECORD, shown, target, shown) is Relation.BEFORE
    assert relation(RECORD, shown, None, None) is Relation.TARGET
    # A server that ignored the write shows what it showed.
    assert (
        relation(VHOST, Content({"tags": []}), Content({"tags": ["x"]}), Content({"tags": []}))
        is Relation.BEFORE
    )
    assert (
        relation(VHOST, None, VHOST.target({"tags": ["x"]}), Content({"tags": ["y"], "description": ""}))
        is Relation.FOREIGN
    )


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_content_has_as_many_levels_as_is_said(opens: str, closes: str) -> None:
    read_json(opens * 31 + "[]" + closes * 31)
    with pytest.raises(Unreadable, match="32 levels"):
        read_json(opens * 32 + "[]" + closes * 32)


@pytest.mark.parametrize("text", ["5", "5.0", "50e-1", "5e0"])
def test_a_number_without_a_fraction_is_an_integer_however_it_is_written(text: str) -> None:
    assert (read_json(text), type(read_json(text))) == (5, int)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.0", 0),
        ("-0e5", 0),
        ("1e399", 10**399),
        ("1e400", Decimal("1E+400")),
        ("0.50", Decimal("0.5")),
        ("-2.50e-3", Decimal("-0.0025")),
    ],
)
def test_a_number_is_read_exactly_and_without_zeros_at_its_end(text: str, value: int | Decimal) -> None:
    assert (read_json(text), str(read_json(text))) == (value, str(value))


@pytest.mark.parametrize("text", ["[]", "{}", '{"fields": null}', '{"fields": []}'])
def test_a_text_without_fields_is_no_content(text: str) -> None:
    with pytest.raises(Unreadable, match="no content"):
        Content.read(text)


def test_an_operation_calls_its_kind_as_the_kind_does() -> None:
    asked, _ = asked_of(VHOST, thing(VHOST), "delete", {}, {}, SealKeys(), accept_loss=True)
    assert asked.title == VHOST.title == f"{VHOST.name}@{VHOST.digest[:8]}"


def test_content_is_one_text_for_what_is_equal() -> None:
    kind = least(fields="{s: {type: set}, l: {type: list}, n: {type: any}, d: {default: x}}")
    one = content_of(kind, reply(200, b'{"s": ["b", "a", "a"], "l": [2, 1], "n": 1.0, "d": null}'))
    other = content_of(kind, reply(200, b'{"d": "x", "n": 1, "l": [2, 1.00], "s": ["a", "b"]}'))
    assert one.text() == other.text() == '{"fields":{"d":"x","l":[2,1],"n":1,"s":["a","b"]}}'
    assert content_of(kind, reply(200, {"l": [1, 2]})).values == {"s": None, "l": [1, 2], "n": None, "d": "x"}
    exact = b'{"n": [9007199254740993, 0.1000, 1e2, 1e400, 1e-7, {}, [], "\\u00e9", "e\\u0301"]}'
    text = content_of(kind, reply(200, exact)).text()
    big = "1" + "0" * 400
    assert (
        f'"n":[9007199254740993,0.1,100,{"1E+400"},1E-7,{{}},[],"\\u00e9","e\\u0301"]' in text or big in text
    )
    assert Content.read(text).text() == text


def test_a_field_that_is_not_given_stays_as_the_host_shows_it() -> None:
    kind = least(fields="{a: {}, b: {}, c: {default: ''}}")
    target, shown = kind.target({"a": "1"}), Content({"a": "0", "b": "2", "c": "3"})
    assert target.values == {"a": "1", "c": ""}
    # No look shows null where there is a default, so that one who gives it means the default.
    assert kind.target({"a": None, "c": None}).values == {"a": None, "c": ""}
    sent = kind.request("update", thing(kind), content=target.over(shown))
    assert json.loads(sent.body or b"") == {"a": "1", "b": "2", "c": ""}
    # A field that was not there is gone again after the undo, where an API merges.
    merging = least(
        fields="{a: {}}",
        look="{request: 'GET /x/{id}', keep: {all: body}}",
        update="{request: 'PUT /x/{id}', json: \"over(kept.all, {a: content.a})\"}",
    )
    before = content_of(merging, reply(200, {"z": 1}))
    assert before.values == {"a": None}
    undo = merging.request("update", thing(merging), content=before, kept={"all": {"z": 1, "a": "now"}})
    assert json.loads(undo.body or b"") == {"z": 1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sizes": 5}, r'no field "sizes"; its fields: size, mode, key, token'),
        ({"mode": "a"}, "needs size"),
        ({"size": "5"}, "no integer"),
        ({"size": True}, "no integer"),
        ({"size": 1.5}, "no integer"),
        ({"size": 1, "mode": "z"}, "none of a, b"),
        ({"size": 1, "key": "UPPER"}, "does not match"),
        ({"size": 1, "token": "x"}, "--secret token=@FILE"),
    ],
)
def test_a_content_that_breaks_a_rule_is_refused_in_one_line(given: dict[str, object], words: str) -> None:
    key = "{pattern: '[a-z]+', create_only: true}"
    fields = f"size: {{type: integer, required: true}}, mode: {{values: [a, b]}}, key: {key}"
    kind = least(fields=f"{{{fields}, token: {{secret: true}}}}")
    with pytest.raises(InvalidInput, match=words) as error:
        kind.target(given)
    assert "\n" not in str(error.value)
    good = kind.target({"size": 1, "key": "k"}, ["token"])
    assert kind.fixed(Content({"size": 2, "key": "j"}), good) == ["key"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "5", "5"),
        ("integer", "5", 5),
        ("boolean", "true", True),
        ("set", "b,a", ["b", "a"]),
        ("set", "", []),
        ("list", '["a", 1]', ["a", 1]),
        ("map", '{"a": 1}', {"a": 1}),
        ("any", "x", "x"),
        ("any", "5", 5),
    ],
)
def test_a_text_of_the_command_line_becomes_a_value(kind: str, text: str, value: object) -> None:
    assert least(fields=f"{{f: {{type: {kind}}}}}").read("f", text) == value
    with pytest.raises(InvalidInput, match="no integer"):
        least(fields="{f: {type: integer}}").read("f", "x")


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("one", "two", ('- text: "one"', '+ text: "two"')),
        ("a\nb\n-- c\nd\n", "a\nb\nx\nd\n", ("~ text:", "   b", "  --- c", "  +x", "   d")),
        ("a\nb", "a\nb\n", ('- text: "a\\nb"', '+ text: "a\\nb\\n"')),
    ],
)
def test_a_text_of_several_lines_differs_by_its_lines(was: str, now: str, told: tuple[str, ...]) -> None:
    kind = least(fields="{text: {}}")
    assert diff(kind, Content({"text": was}), Content({"text": now})) == told


def test_a_content_may_be_as_large_as_is_said() -> None:
    kind = least(fields="{text: {}}")
    frame = len(Content({"text": ""}).text())

    def ask(size: int) -> None:
        asked_of(kind, thing(kind), "create", {"text": "x" * (size - frame)}, {}, SealKeys())

    ask(65_536)
    with pytest.raises(InvalidInput, match="is over 65536 bytes"):
        ask(65_537)


def test_a_part_of_an_id_has_at_most_1024_characters() -> None:
    kind = least(id="{pattern: 'x*'}")
    thing(kind, "x" * 1024)
    with pytest.raises(InvalidInput, match="more than 1024 characters"):
        thing(kind, "x" * 1025)


def test_what_is_sensitive_is_masked_once_a_host_has_shown_it() -> None:
    kind = least(fields="{pin: {sensitive: true}}")
    content_of(kind, reply(200, {"pin": "canary-of-a-host"}))
    assert mask("it is canary-of-a-host") == "it is …"


def test_what_only_its_presence_brings_back_is_said_to_lose_what_it_held() -> None:
    assert least(restore="presence").loses("delete") == ["what it held: only its presence is restored"]
    assert least().loses("delete") == []
