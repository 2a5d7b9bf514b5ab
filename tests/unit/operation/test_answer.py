"""The classification table of the protocol, row by row."""

from __future__ import annotations

import itertools

import pytest

from lockstep.worker.operation.answer import (
    LookVerdict,
    NoReply,
    Reply,
    Trouble,
    classify_look,
    classify_write,
)
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import Action, GroupId, Presence, Seen

CREATE, DELETE = Action.CREATE, Action.DELETE
G = GroupId("g")
OTHER = b'{"groupId": "another"}'
HTML = b"<html>Welcome</html>"

WRITES: list[tuple[Action, int, Effect]] = [
    (CREATE, 201, Effect.APPLIED),
    (DELETE, 200, Effect.APPLIED),
    *[(CREATE, status, Effect.UNKNOWN) for status in (200, 202, 204, 299)],
    *[(DELETE, status, Effect.UNKNOWN) for status in (201, 202, 204, 299)],
    *[(CREATE, status, Effect.CONTESTED) for status in (400, 409)],
    *[(DELETE, status, Effect.CONTESTED) for status in (400, 404)],
    *[(CREATE, status, Effect.REFUSED) for status in (401, 403, 404, 405, 413, 415, 422)],
    *[(DELETE, status, Effect.REFUSED) for status in (401, 403, 405, 413, 415, 422)],
    *[(action, status, Effect.UNKNOWN) for action in Action for status in (408, 429, 500, 502, 503, 504)],
    *[
        (action, status, Effect.MISDIRECTED)
        for action in Action
        for status in (300, 301, 302, 304, 307, 308, 399)
    ],
    *[(action, status, Effect.UNKNOWN) for action in Action for status in (100, 410, 418, 451, 507, 599)],
]


@pytest.mark.parametrize(("action", "status", "verdict"), WRITES)
def test_a_write_is_classified_by_its_status(action: Action, status: int, verdict: Effect) -> None:
    assert classify_write(action, G, Reply(status)).effect is verdict


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b"", Effect.APPLIED),
        (b" \r\n", Effect.APPLIED),
        (b'{"groupId": "g"}', Effect.APPLIED),
        (b'{"ok": true}', Effect.APPLIED),
        (b"[]", Effect.APPLIED),
        (OTHER, Effect.UNKNOWN),
        (b'{"groupId": null}', Effect.UNKNOWN),
        (HTML, Effect.UNKNOWN),
        (b"\xff\xfe", Effect.UNKNOWN),
        (b"[" * 100_000, Effect.UNKNOWN),
        (None, Effect.UNKNOWN),
    ],
)
def test_a_success_counts_only_if_its_body_names_no_other_group(
    action: Action, body: bytes | None, verdict: Effect
) -> None:
    status = 201 if action is CREATE else 200
    assert classify_write(action, G, Reply(status, body)).effect is verdict


@pytest.mark.parametrize(
    ("trouble", "verdict", "look"),
    [
        (Trouble.NOT_SENT, Effect.NOT_APPLIED, LookVerdict.NO_INFORMATION),
        (Trouble.TOO_LATE, Effect.NOT_APPLIED, LookVerdict.NO_INFORMATION),
        (Trouble.LOST, Effect.UNKNOWN, LookVerdict.NO_INFORMATION),
        (Trouble.UNREADABLE, Effect.UNKNOWN, LookVerdict.NO_INFORMATION),
    ],
)
def test_no_reply_is_classified_by_whether_bytes_left(
    trouble: Trouble, verdict: Effect, look: LookVerdict
) -> None:
    said = NoReply(trouble, "reset")
    for action in Action:
        answer = classify_write(action, G, said)
        assert (answer.effect, answer.retry_after) == (verdict, None)
        assert answer.unreadable is (trouble is Trouble.UNREADABLE)
        assert "reset" in answer.text
    assert classify_look(G, said).verdict is look


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heard_where_it_means_something(status: int) -> None:
    assert classify_write(CREATE, G, Reply(status, retry_after=7.0)).retry_after == 7.0
    assert classify_look(G, Reply(status, retry_after=7.0)).retry_after == 7.0


@pytest.mark.parametrize("status", [200, 302, 408, 500, 504])
def test_retry_after_is_ignored_elsewhere(status: int) -> None:
    assert classify_write(CREATE, G, Reply(status, retry_after=7.0)).retry_after is None
    assert classify_look(G, Reply(status, retry_after=7.0)).retry_after is None


LOOKS = [
    *[(status, LookVerdict.NO_INFORMATION) for status in (408, 429, 500, 502, 503, 504, 599)],
    *[
        (status, LookVerdict.MISCONFIGURED)
        for status in (401, 403, 405, 301, 302, 308, 201, 204, 400, 410, 451, 499, 600)
    ],
]


@pytest.mark.parametrize(("status", "look"), LOOKS)
def test_a_look_is_classified_by_its_status(status: int, look: LookVerdict) -> None:
    answer = classify_look(G, Reply(status, b'{"groupId": "g"}'))
    assert (answer.verdict, answer.seen) == (look, None)
    assert str(status) in answer.text


def test_a_404_shows_absence_whatever_it_says() -> None:
    for body in (b"", HTML, OTHER, None):
        assert classify_look(G, Reply(404, body)).seen == Seen(Presence.ABSENT)


def test_a_200_for_this_group_shows_presence_and_keeps_the_body() -> None:
    body = '{"groupId": "g", "colour": "grün", "size": 3}'
    answer = classify_look(G, Reply(200, body.encode()))
    assert (answer.verdict, answer.seen) == (LookVerdict.SEEN, Seen(Presence.PRESENT, body))


@pytest.mark.parametrize(
    "body", [b"", HTML, OTHER, b"{}", b"[]", b'"g"', b"null", b"\xff\xfe", b'{"groupId": 1}', b"[" * 100_000]
)
def test_a_200_for_anything_else_tells_nothing(body: bytes) -> None:
    answer = classify_look(G, Reply(200, body))
    assert (answer.verdict, answer.seen) == (LookVerdict.NO_INFORMATION, None)


def test_a_200_over_the_cap_is_known_to_be_too_large() -> None:
    answer = classify_look(G, Reply(200, None))
    assert (answer.verdict, answer.seen) == (LookVerdict.OVERSIZED, None)


def test_only_what_was_seen_is_seen() -> None:
    for status, body in itertools.product(range(100, 600), (b"", OTHER, b'{"groupId": "g"}')):
        answer = classify_look(G, Reply(status, body))
        assert (answer.seen is not None) == (answer.verdict is LookVerdict.SEEN)
        if answer.seen is not None:
            assert status == 404 or (status == 200 and body == b'{"groupId": "g"}')
