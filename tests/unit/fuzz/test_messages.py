"""Whatever lies in a queue is a message or none, and one of ours or not; no worker ends by it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.transport.virtual import Base64, Message

from lockstep.worker.celery.broker.links import POISON, deliverable
from lockstep.worker.tasks.received import unlike_ours
from tests.unit.fuzz import test_fuzz
from tests.unit.test_received import headers

fuzz = settings(test_fuzz.fuzz, max_examples=max(test_fuzz.EXAMPLES, 100))
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


@fuzz
@given(messages | anything)
def test_of_what_is_deliverable_kombu_makes_a_message(found: Any) -> None:
    if deliverable(found):
        Message(found, channel=channel)


@fuzz
@given(st.dictionaries(st.sampled_from(list(headers())), anything), anything)
def test_whatever_a_message_says_it_is_told_why_it_is_not_ours(changed: dict[str, Any], body: Any) -> None:
    try:
        said = unlike_ours({**headers(), **changed}, body)
    except POISON:
        return  # dropped as well
    assert said
