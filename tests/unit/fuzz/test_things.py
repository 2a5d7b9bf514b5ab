"""Whatever a host answers about a thing is understood or says nothing; a write is applied only with a 2xx.

What names things, and lists of them, is read or refused.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lockstep.producer.operators.batch import parse_wishes
from lockstep.worker.kinds import Kinds
from lockstep.worker.kinds.kind import Kind, Verb
from lockstep.worker.operation import names
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Effect, Id, Sight
from lockstep.worker.operation.model import GroupId
from tests.unit.fuzz.test_fuzz import (
    anything,
    bodies,
    fuzz,
    mutated,
    refused_in_one_line,
    statuses,
    texts,
)
from tests.unit.kinds.made import shipped, thing

Given = tuple[Kind, str, Reply]
TAGS, RIGHTS = {"tags": ["x", "y"]}, {"configure": "", "write": ".*", "read": ".*"}
RECORD = {"name": "b.", "type": "A", "ttl": 60, "records": [{"content": "192.0.2.1", "disabled": False}]}
GOOD: dict[str, tuple[str, Any]] = {
    "group": ("a", {"groupId": "a", "size": 3}),
    "consul-key": ("a", [{"Key": "a", "Value": "YQ==", "ModifyIndex": 7}]),
    "etcd-key": ("a", {"header": {"revision": "7"}, "kvs": [{"value": "YQ==", "mod_revision": "6"}]}),
    "influxdb-database": ("a", {"results": [{"series": [{"values": [["a"]]}]}]}),
    "powerdns-record": ("a/b/A", {"id": "a.", "rrsets": [RECORD]}),
    "powerdns-zone": ("a", {"id": "a.", "kind": "Native", "account": "", "rrsets": [RECORD]}),
    "rabbitmq-permission": ("a/b", {"vhost": "a", "user": "b", **RIGHTS}),
    "rabbitmq-policy": ("a/b", {"vhost": "a", "name": "b", "pattern": "x", "definition": {"max-length": 1}}),
    "rabbitmq-user": ("a", {"name": "a", "password_hash": "YQ==", "hashing_algorithm": "sha", **TAGS}),
    "rabbitmq-vhost": ("a", {"name": "a", "description": "", **TAGS}),
    "vault-policy": ("a", {"data": {"name": "a", "policy": "path {}"}}),
}
"""Of each shipped kind an id, and what a host answers that has it."""


def altered(value: Any) -> st.SearchStrategy[Any]:
    """The value, mostly; with other values for some parts of it."""
    parts: st.SearchStrategy[Any] = st.just(value)
    if isinstance(value, dict):
        parts = st.fixed_dictionaries({}, optional={key: altered(part) for key, part in value.items()})
    elif isinstance(value, list):
        parts = st.lists(st.one_of([altered(part) for part in value]), max_size=3)
    return st.one_of(st.just(value), parts, parts, anything)


def given_to(kind: str) -> st.SearchStrategy[Given]:
    text, body = GOOD[kind]
    said = altered(body) | st.dictionaries(st.sampled_from(["error", "reason", "message"]), anything)
    sent = said.map(lambda value: json.dumps(value).encode()) | st.none() | bodies
    headers = st.dictionaries(st.sampled_from(["etag", "content-type", "x-consul-index"]), texts, max_size=2)
    reply = st.builds(Reply, st.just(200) | statuses, sent, st.none() | st.floats(0, 1e9), headers)
    return st.tuples(st.just(shipped(kind)), st.just(text), reply)


answers = st.one_of([given_to(kind) for kind in GOOD])


@fuzz
@given(answer=answers, witness=st.none() | st.builds(Reply, statuses, bodies))
def test_an_answer_to_a_look_at_a_thing_is_understood_or_says_nothing(
    answer: Given, witness: Reply | None
) -> None:
    kind, text, reply = answer
    found = kind.shown(thing(kind, text), reply, witness)
    assert (found.content is not None) == (found.sight is Sight.CONTENT)
    assert (found.flaw is not None) == (found.sight is Sight.NOTHING)
    assert "\n" not in found.text
    if found.sight is Sight.CONTENT:
        assert reply.status == 200


@fuzz
@given(answer=answers, data=st.data())
def test_an_answer_to_a_write_of_a_thing_is_applied_only_with_a_2xx(
    answer: Given, data: st.DataObject
) -> None:
    kind, text, reply = answer
    verb: Verb = data.draw(st.sampled_from(list(kind.writes)))
    found = kind.said(verb, thing(kind, text), reply)
    if found.effect is Effect.APPLIED:
        assert 200 <= reply.status < 300


VHOST = "rabbitmq-vhost"
WISHES = "present:\n  - team-a\n  - rabbitmq-vhost/x:\n      description: a\nabsent:\n  - team-b\n"
parts = texts | st.sampled_from(["..", "%2F", "%", "%zz", "%ff", ".", " ", ""])


@fuzz
@given(text=st.lists(parts, max_size=4).map(lambda given: "/".join([VHOST, *given])) | texts)
def test_the_id_of_a_thing_is_read_or_refused(text: str) -> None:
    refused_in_one_line(lambda: Kinds().parse(text))


def named(given: object) -> GroupId | tuple[Kind, Id]:
    if isinstance(given, str) and "/" in given:
        return Kinds().parse(given)
    return names.parse_group_id(given)


@fuzz
@given(text=mutated(WISHES) | texts | anything.map(lambda value: json.dumps({"present": value})))
def test_a_list_of_wishes_is_read_or_refused(text: str) -> None:
    refused_in_one_line(lambda: parse_wishes(text, named))
