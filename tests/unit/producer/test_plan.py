"""What a plan says of each host, and of what differs, without any host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from lockstep.producer.operators import plan
from lockstep.producer.operators.plan import (
    HostPlan,
    Plan,
    SyncItem,
    diff,
    differences,
    of_group,
    of_thing,
    sync_plan,
)
from lockstep.worker.operation.answer import LookAnswer, LookVerdict, Reply, classify_look
from lockstep.worker.operation.content import Content, Shown, Sight
from lockstep.worker.operation.drift import End
from lockstep.worker.operation.errors import HostUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Presence, Step
from lockstep.worker.operation.thing import ABSENT, DEFINITION, Digest, Trace
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from tests.unit.kinds.made import LEAST, kind_of, thing

HOST, GROUP, SETTINGS = Host(HostName("node1"), "http://node1:1"), GroupId("team-a"), Settings()
SOURCE = LEAST.replace("fields:", "fields:\n  pin: {sensitive: true}\n  size: {type: integer}")
KIND = kind_of(SOURCE)


def content(**values: object) -> Content:
    return Content(values)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (None, None, []),
        (None, content(description="a", pin="1234"), ["+ made", "+ pin: (differs)", '+ description: "a"']),
        (content(description="a"), None, ["- gone", '- description: "a"']),
        (content(description="a", tags=["x"]), content(description="a", tags=["x"]), []),
        (content(pin="1", size=3), content(pin="2", size=4), ["~ pin: (differs)", "- size: 3", "+ size: 4"]),
        (
            content(pin="1", description="a"),
            content(pin="1", description="b"),
            ['- description: "a"', '+ description: "b"'],
        ),
        (content(size=3), content(description="a"), []),
        (content(description="a\nb"), content(description=5), ['- description: "a\\nb"', "+ description: 5"]),
        (content(description=5), content(description="a\nb"), ["- description: 5", '+ description: "a\\nb"']),
        (
            content(description="a\nb"),
            content(description="a\nc"),
            ["~ description:", "   a", "  -b", "  +c"],
        ),
    ],
)
def test_contents_differ_in_what_both_tell(
    old: Content | None, new: Content | None, lines: list[str]
) -> None:
    assert list(diff(KIND, old, new)) == lines


def test_a_plan_names_what_fails_and_what_needs_no_call() -> None:
    hosts = (
        HostPlan(HostName("node1"), Presence.ABSENT, "POST", None),
        HostPlan(HostName("node2"), Presence.PRESENT, None, None),
        HostPlan(HostName("node3"), None, None, "no usable answer"),
    )
    made = Plan(GROUP, "create", hosts, (), None)
    assert (made.problems, made.as_asked) == (hosts[2:], (HostName("node2"),))


HERE, GONE, ERROR = Reply(200, b'{"groupId": "team-a"}'), Reply(404), Reply(500)


def showing(monkeypatch: pytest.MonkeyPatch, reply: Reply, oversized: bool = False) -> None:
    def look(_: Host, group: GroupId, __: Settings) -> tuple[LookAnswer, int]:
        said = classify_look(group, reply)
        return (LookAnswer(LookVerdict.OVERSIZED, said.text) if oversized else said), 1

    monkeypatch.setattr(plan, "look_at_group", look)


@pytest.mark.parametrize(
    ("reply", "oversized", "action", "holds", "call", "problem"),
    [
        (HERE, False, Action.CREATE, Presence.PRESENT, None, None),
        (GONE, False, Action.CREATE, Presence.ABSENT, "POST /v1/group/", None),
        (HERE, False, Action.DELETE, Presence.PRESENT, "DELETE /v1/group/", None),
        (GONE, False, Action.DELETE, Presence.ABSENT, None, None),
        (ERROR, False, Action.CREATE, None, None, "no usable answer: 500"),
        (HERE, True, Action.CREATE, Presence.PRESENT, None, None),
        (
            HERE,
            True,
            Action.DELETE,
            Presence.PRESENT,
            None,
            "too large to be restored, so it would not be deleted",
        ),
    ],
)
def test_what_would_be_sent_of_a_group(
    reply: Reply,
    oversized: bool,
    action: Action,
    holds: Presence | None,
    call: str | None,
    problem: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    showing(monkeypatch, reply, oversized)
    assert of_group(GROUP, action, SETTINGS, HOST) == HostPlan(HOST.name, holds, call, problem)


OLD, NEW = content(description="a", tags=[]), content(description="b", tags=[])
CHANGED = ('- description: "a"', '+ description: "b"')


@pytest.mark.parametrize(
    ("shown", "verb", "target", "hidden", "call", "lines"),
    [
        (Shown(Sight.CONTENT, content=OLD), "set", OLD, (), None, ()),
        (Shown(Sight.CONTENT, content=OLD), "set", OLD, ("pin",), "update", ("~ pin: (differs)",)),
        (Shown(Sight.CONTENT, content=OLD), "set", NEW, (), "update", CHANGED),
        (
            Shown(Sight.ABSENT),
            "create",
            content(description="a"),
            (),
            "create",
            ("+ made", '+ description: "a"'),
        ),
        (
            Shown(Sight.CONTENT, content=content(size=3)),
            "delete",
            None,
            (),
            "delete",
            ("- gone", "- size: 3"),
        ),
        (Shown(Sight.ABSENT), "delete", None, (), None, ()),
    ],
)
def test_what_would_be_sent_of_a_thing(
    shown: Shown,
    verb: str,
    target: Content | None,
    hidden: tuple[str, ...],
    call: str | None,
    lines: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "look_at_thing", lambda *_: (shown, 1))
    found = of_thing(KIND, thing(KIND), verb, target, SETTINGS, True, hidden, HOST)
    holds = Presence.ABSENT if shown.sight is Sight.ABSENT else Presence.PRESENT
    assert found == HostPlan(HOST.name, holds, call, None, lines)


@pytest.mark.parametrize("sight", [Sight.NOTHING, Sight.OVERSIZED])
def test_a_thing_that_cannot_be_seen_is_a_problem(sight: Sight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "look_at_thing", lambda *_: (Shown(sight), 1))
    found = of_thing(KIND, thing(KIND), "set", OLD, SETTINGS, True, (), HOST)
    assert found.call is None
    assert str(found.problem).startswith("no usable answer: ")


def synced(monkeypatch: pytest.MonkeyPatch, reply: Reply, **ends: Presence) -> SyncItem:
    showing(monkeypatch, reply)
    left = {
        HostName(name): End(held, OperationId(f"op-{name}"), Millis(0), "f") for name, held in ends.items()
    }
    store = SimpleNamespace(ends=lambda _: left, groups_with_ends=lambda: [GROUP])
    (found,) = sync_plan(cast(RedisStore, store), HOST, SETTINGS)
    return found


def test_a_host_should_hold_what_its_own_last_end_says_or_else_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there, gone = Presence.PRESENT, Presence.ABSENT
    own = synced(monkeypatch, GONE, node1=there, node2=gone)
    assert own == SyncItem(GROUP, gone, Action.CREATE, "present by its own operation op-node1")
    others = synced(monkeypatch, HERE, node2=gone, node3=gone)
    assert own.certain
    assert others == SyncItem(GROUP, there, Action.DELETE, "absent by all other hosts")
    assert synced(monkeypatch, HERE, node1=there) == SyncItem(GROUP, there, None, "as it should be")
    note = "the other hosts differ: nobody can tell what it should hold"
    assert synced(monkeypatch, HERE, node2=gone, node3=there) == SyncItem(
        GROUP, there, None, note, certain=False
    )
    with pytest.raises(HostUnavailable, match='"node1" gave no usable answer'):
        synced(monkeypatch, ERROR, node1=there)


def test_what_an_operation_changes_and_what_others_made_of_it_is_told_by_host() -> None:
    texts = {
        "a": OLD.text(),
        "b": NEW.text(),
        "c": content(description="c", tags=[]).text(),
        DEFINITION: LEAST,
    }
    traces = [
        None,
        Trace(),
        Trace(was=Digest("a")),
        Trace(was=ABSENT),
        Trace(Digest("a"), foreign=Digest("c")),
    ]
    steps = [Step(HostName(f"node{number}"), trace=trace) for number, trace in enumerate(traces)]

    def told(order: object, kind: str | None = LEAST) -> dict[HostName, tuple[str, ...]]:
        known = {**texts, DEFINITION: kind}
        store = SimpleNamespace(order=lambda _: order, text=lambda _, digest: known[digest])
        return differences(cast(RedisStore, store), OperationId("op"), steps)

    asked = SimpleNamespace(group=GROUP, content=SimpleNamespace(target=Digest("b")))
    theirs = ("shows instead, by somebody else:", '- description: "a"', '+ description: "c"')
    assert told(asked) == {
        "node2": CHANGED,
        "node3": ("+ made", '+ description: "b"', "+ tags: []"),
        "node4": (*CHANGED, *theirs),
    }
    assert told(None) == told(SimpleNamespace(group=GROUP, content=None)) == told(asked, kind=None) == {}
