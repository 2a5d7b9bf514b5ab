"""Groups of the probe's own: made, waited for until they show, and removed whatever the host answers."""

from __future__ import annotations

import re
from itertools import repeat

import pytest

from lockstep.producer.doctor.scratch import NoUsableAnswer, Scratch
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import GroupId, Presence
from tests.unit.producer.scratch_node import LOST, SETTINGS, Answer, Clock, Node, ruled

ERROR = Reply(500)
GROUP = GroupId("lockstep-probe-1")


def made(monkeypatch: pytest.MonkeyPatch, node: Node) -> tuple[Scratch, Clock]:
    return Scratch(node.host, SETTINGS), ruled(monkeypatch, node)


def test_a_new_group_is_told_from_those_of_others() -> None:
    scratch = Scratch(Node().host, SETTINGS)
    one, other = scratch.new_group(), scratch.new_group()
    assert re.fullmatch("lockstep-probe-[0-9a-f]{16}", one)
    assert one != other


@pytest.mark.parametrize(
    ("posts", "late", "lag", "asked"),
    [
        ([], 0.0, 0.0, "POST GET"),
        ([ERROR, ERROR], 0.0, 0.0, "POST GET POST GET POST GET"),
        ([], 0.25, 0.3, "POST GET GET GET GET GET"),
        ([(LOST,)], 0.0, 0.3, "POST GET"),
    ],
)
def test_a_group_is_made_by_three_writes_at_most(
    posts: list[Answer], late: float, lag: float, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(late, {"POST": iter(posts)})
    scratch, _ = made(monkeypatch, node)
    scratch.lag = lag
    assert scratch.present_group() in node.groups
    assert node.asked == asked.split()


def test_a_host_that_makes_no_group_gives_no_usable_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    scratch, _ = made(monkeypatch, Node(odd={"POST": iter([ERROR] * 3)}))
    with pytest.raises(NoUsableAnswer, match=r"^500"):
        scratch.present_group()


def test_a_look_tells_something_or_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    scratch, _ = made(monkeypatch, node)
    assert scratch.look(GROUP).presence is Presence.ABSENT
    with pytest.raises(NoUsableAnswer, match=r"^404"):
        scratch.content(GROUP)
    scratch.post(GROUP, '{"groupId": "lockstep-probe-1", "colour": "blue"}')
    assert scratch.content(GROUP) == {"groupId": GROUP, "colour": "blue"}
    node.odd["GET"] = repeat(ERROR)
    for look in (scratch.look, scratch.content):
        with pytest.raises(NoUsableAnswer, match=r"^500"):
            look(GROUP)


def test_the_longest_time_until_a_get_shows_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    scratch, clock = made(monkeypatch, node)
    node.now = 50.0
    assert scratch.shown_after(GROUP, Presence.ABSENT) == 0.0
    assert (scratch.lag, clock.pauses) == (0.0, [])
    node.lag = 0.25
    scratch.post(GROUP)
    assert scratch.shown_after(GROUP, Presence.PRESENT) == pytest.approx(0.3)
    assert clock.pauses == [0.1] * 3
    assert scratch.lag == pytest.approx(0.3)
    node.takes = 0.5
    assert scratch.shown_after(GROUP, Presence.PRESENT) == 0.0, "the first GET shows it, however slow"
    assert scratch.lag == pytest.approx(0.3)


def test_what_never_shows_is_waited_for_as_long_as_writes_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.producer.doctor.scratch.PAUSE", 0.5)
    scratch, clock = made(monkeypatch, Node())
    assert scratch.shown_after(GROUP, Presence.PRESENT) is None
    assert clock.pauses == [0.5] * 5, "two seconds, and a last look"
    assert scratch.lag == 0.0


def test_of_each_group_it_is_known_whether_its_creation_can_still_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node(odd={"POST": iter([LOST, (LOST,), None, LOST])})
    scratch, _ = made(monkeypatch, node)
    first, second = GroupId("lockstep-probe-1"), GroupId("lockstep-probe-2")
    scratch.post(first)
    scratch.get(first)
    assert scratch.written == {first: False}
    scratch.post(second)
    assert scratch.written == {first: False, second: False}
    scratch.get(second)
    scratch.get(GroupId("of-others"))
    assert scratch.written == {first: False, second: True}
    assert scratch.post(first).effect is Effect.APPLIED
    scratch.post(first)
    assert scratch.written == {first: True, second: True}
    node.changes["of-others"] = [(0.0, {})]
    scratch.get(GroupId("of-others"))
    assert set(scratch.written) == {first, second}


def test_what_was_written_is_deleted_and_what_is_gone_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    scratch, clock = made(monkeypatch, node)
    scratch.post(GROUP)
    scratch.written[GroupId("lockstep-probe-2")] = False
    node.asked.clear()
    assert scratch.clear() == []
    assert node.groups == set()
    assert node.asked == ["GET", "DELETE", "GET", "GET"]
    assert clock.pauses == [0.0]


def test_where_gets_lag_each_look_comes_later_than_what_was_written_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node(lag=0.4)
    scratch, clock = made(monkeypatch, node)
    scratch.lag = 0.4
    scratch.post(GROUP)
    assert scratch.clear() == []
    assert node.asked == ["POST", "GET", "DELETE", "GET"]
    assert clock.pauses == [0.4, 0.4]


@pytest.mark.parametrize(
    ("odd", "deletes", "pauses"),
    [
        ({"DELETE": repeat(Reply(403))}, 1, []),
        ({"DELETE": repeat(ERROR)}, 20, []),
        ({"GET": repeat(ERROR)}, 0, [0.1 * number for number in range(20)]),
    ],
)
def test_what_cannot_be_deleted_is_named(
    odd: dict[str, repeat[Reply]], deletes: int, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(odd=dict(odd))
    scratch, clock = made(monkeypatch, node)
    scratch.post(GROUP)
    assert scratch.clear() == [GROUP]
    assert node.asked.count("DELETE") == deletes
    assert clock.pauses == [0.0, *pauses]
