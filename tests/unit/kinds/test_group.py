"""The kind `group` asks what the node API is asked, and reads every answer as the protocol's table does."""

from __future__ import annotations

import json
from itertools import product
from typing import Literal

import pytest

from lockstep.worker.operation.answer import (
    LookVerdict,
    NoReply,
    Reply,
    Trouble,
    classify_look,
    classify_write,
)
from lockstep.worker.operation.content import Effect, Flaw, Shown, Sight
from lockstep.worker.operation.model import Action, GroupId, Presence
from tests.unit.kinds.made import shipped, thing

ID = GroupId("team-a")
GROUP = shipped("group")
TEAM = thing(GROUP, ID)
STATUSES = [100, 200, 201, 202, 204, 299, 300, 302, 304, *range(400, 432), 451, 499, 500, 502, 503, 504, 599]
BODIES = [
    b"",
    b"  ",
    b'{"groupId": "team-a"}',
    b'{"groupId": "team-a", "owner": "x", "n": 1e3}',
    b'{"groupId": "team-b"}',
    b'{"groupId": null}',
    b'{"groupId": 5}',
    b'{"groupId": "team-a"',
    b"{}",
    b"[]",
    b"null",
    b"17",
    b"<html>ok</html>",
    b"\xff\xfe\xff",
    b'\xef\xbb\xbf{"groupId": "team-a"}',
    '{"groupId": "team-a"}'.encode("utf-16"),
    None,
]
LOST = [NoReply(trouble, "so") for trouble in Trouble]
SAME_EFFECT = {
    Effect.APPLIED: Effect.APPLIED,
    Effect.CONTESTED: Effect.CONTESTED,
    Effect.REFUSED: Effect.REFUSED,
    Effect.NOT_APPLIED: Effect.NOT_SENT,
    Effect.UNKNOWN: Effect.UNKNOWN,
    Effect.MISDIRECTED: Effect.MISDIRECTED,
}
ANSWERS: list[Reply | NoReply] = [
    *(Reply(status, body, 7.0) for status, body in product(STATUSES, BODIES)),
    *LOST,
]


def shown_as(shown: Shown) -> tuple[LookVerdict, Presence | None]:
    """Return what the protocol's table calls a sight."""
    match shown.sight, shown.flaw:
        case Sight.ABSENT, _:
            return LookVerdict.SEEN, Presence.ABSENT
        case Sight.CONTENT, _:
            return LookVerdict.SEEN, Presence.PRESENT
        case Sight.OVERSIZED, _:
            return LookVerdict.OVERSIZED, Presence.PRESENT
        case _, Flaw.MISCONFIGURED:
            return LookVerdict.MISCONFIGURED, None
    return LookVerdict.NO_INFORMATION, None


def test_every_look_is_read_as_the_table_does() -> None:
    for answer in ANSWERS:
        old, new = classify_look(ID, answer), GROUP.shown(TEAM, answer)
        if isinstance(answer, Reply) and answer.status in (425, 499):  # another look may tell more
            assert (old.verdict, new.flaw) == (LookVerdict.MISCONFIGURED, Flaw.FAILED)
            continue
        assert shown_as(new) == (old.verdict, old.presence), answer
        assert (new.flaw is Flaw.UNREADABLE) == (old.flaw is Flaw.UNREADABLE), answer
        assert new.retry_after == old.retry_after, answer
        if isinstance(answer, NoReply):
            assert new.text == old.text


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_every_answer_to_a_write_is_read_as_the_table_does(verb: Literal["create", "delete"]) -> None:
    for answer in ANSWERS:
        old, new = classify_write(Action(verb), ID, answer), GROUP.said(verb, TEAM, answer)
        assert new.effect is SAME_EFFECT[old.effect], answer
        assert new.retry_after == old.retry_after, answer
        assert new.unreadable == old.unreadable, answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"groupId": "team-a", "a": 1, "a": 2}',
        b'{"groupId": "team-a", "a": NaN}',
        b'{"groupId": "team-a", "a": "\\ud800"}',
        b'{"groupId": "team-a", "a": ' + b"[" * 33 + b"]" * 33 + b"}",
    ],
)
def test_what_differs_is_a_body_that_tells_nothing(body: bytes) -> None:
    """JSON that two readers may take for two things, and that an undo could not send back."""
    assert classify_look(ID, Reply(200, body)).verdict is LookVerdict.SEEN
    assert GROUP.shown(TEAM, Reply(200, body)).flaw is Flaw.UNREADABLE


def test_a_bare_string_is_no_answer_to_a_write() -> None:
    assert classify_write(Action.CREATE, ID, Reply(201, b'"ok"')).effect is Effect.APPLIED
    assert GROUP.said("create", TEAM, Reply(201, b'"ok"')).effect is Effect.UNKNOWN


def test_requests_of_a_group_are_those_of_the_node_api_byte_for_byte() -> None:
    look = GROUP.request("look", TEAM)
    assert (look.method, look.path, look.body) == ("GET", "/v1/group/team-a/", None)
    for verb, method in (("create", "POST"), ("delete", "DELETE")):
        asked = GROUP.request("create" if verb == "create" else "delete", TEAM)
        assert (asked.method, asked.path, asked.body) == (
            method,
            "/v1/group/",
            json.dumps({"groupId": ID}).encode(),
        )
        assert asked.headers == {"Content-Type": "application/json"}
    before = GROUP.shown(
        TEAM, Reply(200, b'{"owner": "x",  "groupId": "team-a", "size": 12345678901234567890}')
    )
    assert before.content is not None
    restored = GROUP.request("create", TEAM, kept=before.content.kept)
    assert json.loads(restored.body or b"") == {
        "owner": "x",
        "groupId": "team-a",
        "size": 12345678901234567890,
    }
    assert GROUP.lock(TEAM) == "team-a"
    assert GROUP.fields == {}
