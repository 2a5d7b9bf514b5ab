"""What a worker takes for a message, and for one of ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual import Base64, Message

from lockstep.worker.broker.links import POISON, deliverable
from lockstep.worker.celery import CONCLUDE, CREATE_GROUP, PATROL_GROUP, SWEEP, make_app
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.received import MOST_NAMES, unlike_ours

EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
APP = make_app(Settings(hosts="http://node1"))
KEYS = [
    "properties",
    "delivery_tag",
    "delivery_info",
    "body",
    "body_encoding",
    "headers",
    "exchange",
    "base64",
]


def headers(task: str = CREATE_GROUP, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = APP.amqp.create_task_message("id", task, ("op", "team", "a"), {}).headers
    return {**made, **more}


def decode_body(body: str, encoding: str | None = None) -> Any:
    return {"base64": Base64()}[encoding].decode(body) if encoding else body


channel: Any = SimpleNamespace(decode_body=decode_body)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
    max_leaves=20,
)
messages: Any = st.fixed_dictionaries(
    {
        "properties": st.fixed_dictionaries(
            {"delivery_tag": st.just("t") | anything, "delivery_info": st.just({})}
        )
    },
    optional={"body": st.text() | anything, "headers": st.just({}) | anything, "content-type": anything},
)


@given(messages | anything)
def test_of_what_is_deliverable_kombu_makes_a_message(found: Any) -> None:
    if deliverable(found):
        Message(found, channel=channel)


@given(st.dictionaries(st.sampled_from(list(headers())), anything), anything)
def test_whatever_a_message_says_it_is_told_why_it_is_not_ours(changed: dict[str, Any], body: Any) -> None:
    try:
        said = unlike_ours({**headers(), **changed}, body)
    except POISON:
        return  # dropped as well
    assert said


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (CREATE_GROUP, ["op", "team", "a", "b"]),
        (CONCLUDE, ["op", "op"]),
        (PATROL_GROUP, ["team"]),
        (SWEEP, []),
    ],
)
def test_ours_are_taken(task: str, names: list[str]) -> None:
    chord = {"task": CONCLUDE, "args": ["op", "team"], "options": {}}
    assert unlike_ours(headers(task), [names, {}, {**EMBEDDED, "chord": chord}]) is None
    assert unlike_ours(headers(task, retries=3, celery_beat_task=True), [names, {}, EMBEDDED]) is None


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["op", "team"], "it has 2 arguments"),
        (["op", "team", *["a"] * MOST_NAMES], f"it has {MOST_NAMES + 2} arguments"),
        (["op", "../../admin/x?", "a"], "an argument is no name"),
        (["op", "team", "a\nb"], "an argument is no name"),
        (["op", "team", ["a"]], "an argument is no name"),
        (["x" * 129, "team", "a"], "an argument is no name"),
    ],
)
def test_names_are_parsed_on_receipt(names: list[Any], why: str) -> None:
    assert unlike_ours(headers(), [names, {}, EMBEDDED]) == why


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"id": {}}, "its id is no str"),
        ({"retries": True}, "its retries is no int"),
        ({"retries": -1}, "its retries are no count"),
        ({"shadow": "lockstep.sweep"}, "it has a shadow"),
        ({"timelimit": [5, None]}, "it has a time limit"),
        ({"stamps": {"a": 1}}, "it is part of a workflow that is not ours"),
        ({"argsrepr": "x" * 10_001}, "its argsrepr is too long"),
    ],
)
def test_headers_are_those_of_ours(changed: dict[str, Any], why: str) -> None:
    assert unlike_ours(headers(**changed), [["op", "team", "a"], {}, EMBEDDED]) == why


@pytest.mark.parametrize("part", ["callbacks", "errbacks", "chain"])
def test_no_message_brings_other_tasks_along(part: str) -> None:
    names = ["op", "team", "a"]
    brought = {**EMBEDDED, part: [{"task": SWEEP}]}
    assert (
        unlike_ours(headers(), [["op", "team", "a"], {}, brought])
        == "it is part of a workflow that is not ours"
    )
    chord = {**EMBEDDED, "chord": {"task": SWEEP, "args": [], "options": {}}}
    assert unlike_ours(headers(), [names, {}, chord]) == "its callback is not ours"
