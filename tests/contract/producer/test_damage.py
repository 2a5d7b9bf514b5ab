"""Whatever is damaged in Redis is named, and holds up nobody else: each field of each key, all readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import pytest

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.doctor.checks import on_damage
from lockstep.producer.doctor.facts import _damage
from lockstep.worker.celery import Lockstep, make_app
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import WriteAnswer
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, OperationId, Presence, Seen
from lockstep.worker.record.damage import noted
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings
from lockstep.worker.steps.looks import PatrolResult, patrol
from lockstep.worker.tasks.figures import FiguresReader
from lockstep.worker.tasks.runtime import Runtime
from lockstep.worker.tasks.sweep import _sweep
from lockstep.worker.tasks.tasks import beat_of
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, Hand
from tests.groups_alone import GroupsAlone

KINDS = (
    "operation",
    "ended",
    "step",
    "pause",
    "silence",
    "report",
    "stall",
    "lost",
    "drift",
    "end",
    "suspicion",
)
OF_OPERATION = ("payload", "owner", "created_by", "reason", "dispatched", "failure", "group")
ANYTHING = {
    **dict.fromkeys(("operation", "ended"), OF_OPERATION),
    "end": ("operation", "fingerprint"),
    "step": ("silent", "silent_at", "miss_id", "undo_miss_id"),
}
"""What may be any text, or is read by scripts alone."""
WORDS = {"end": ("presence", "operation", "at", "fingerprint")}


class Node(GroupsAlone):
    """A host that holds every group."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return LookAnswer(LookVerdict.SEEN, "seen", Seen(Presence.PRESENT, "{}"))

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        raise AssertionError("a patrol writes nothing")


class Scene:
    """What is damaged in turn, and as much beside it that is sound."""

    def __init__(
        self, settings: Settings, cluster: ClusterClient, hand: Hand, link: Link, app: Lockstep
    ) -> None:
        self.settings, self.hand, self.link, self.app, self.redis = settings, hand, link, app, hand.redis
        self.keys = Keys(settings.key_prefix)
        self.reader = FiguresReader(settings)
        self.at_work = {name: cluster.create_group(f"{name}-work").id for name in ("bad", "sound")}
        self.ended = {name: cluster.delete_group(name) for name in ("bad", "sound")}
        for each in self.ended.values():
            hand.commit(each)
        found = {host.name: host.fingerprint for host in cluster.inventory}
        for name, operation in self.at_work.items():
            for host in (NODE1, NODE2):
                seen, about = Seen(Presence.ABSENT), (Action.CREATE, GroupId(f"{name}-work"))
                hand.store.begin(operation, host, found[host], seen, AttemptId("a1"), *about)
                hand.store.postpone(operation, host, 1, "GET 500", AttemptId("a2"))
            host = HostName(f"node-{name}")
            link.pauses.pause(host, "alice", "disk")
            link.silences.spare(host, 3_600_000, 10, "connection refused")
            link.clocks.tell(host, lambda: ("3f2a91c04b11", 3, 1.0, ""))
            link.stalls.note(host, "it waits")
            hand.store.note_lost(OperationId(f"lost-{name}"), GroupId(f"lost-{name}"), Action.CREATE)
            for n in (1, 2):
                self.redis.hset(self.keys.suspects(GroupId(name)), f"node{n} present", hand.store.now())
            self.redis.zadd(self.keys.patrol, {name: 1})

        def find(host: HostName) -> Node:
            return Node(found[host])

        self.runtime = Runtime(settings, hand.store, find, find)
        assert all(self.patrol(name).drifts for name in self.at_work)

    def patrol(self, name: str) -> PatrolResult:
        beat = replace(beat_of(self.settings), repair=-1)  # it reports only
        return patrol(self.runtime.context, GroupId(name), beat)

    def place(self, kind: str) -> tuple[str, str]:
        """The key that is damaged, and its field; '' for each of them."""
        keys, bad = self.keys, GroupId("bad")
        return {
            "operation": (keys.operation(self.at_work["bad"]), ""),
            "ended": (keys.operation(self.ended["bad"].id), ""),
            "step": (keys.steps(self.at_work["bad"]), NODE1),
            "pause": (keys.paused, "node-bad"),
            "silence": (keys.spared, "node-bad"),
            "report": (keys.clocks, "node-bad"),
            "stall": (keys.stalled, "node-bad"),
            "lost": (keys.lost, "lost-bad"),
            "drift": (keys.drift, "bad node1"),
            "end": (keys.ends(bad), "node1"),
            "suspicion": (keys.suspects(bad), "node1 present"),
        }[kind]

    def damages(self, kind: str) -> Iterator[tuple[str, str, str]]:
        """Yield field, what of it is damaged, and the text that stands there then."""
        key, field = self.place(kind)
        kept = cast(dict[str, str], self.redis.hgetall(key))
        for each, text in kept.items():
            if each == (field or each):
                yield each, each if not field else "", "\x1b[2Jsoon"
                if text.startswith("{"):
                    yield from ((each, name, damaged) for name, damaged in in_json(json.loads(text)))
                for i, name in enumerate(WORDS.get(kind, ())):
                    words = text.split(" ")
                    yield each, name, " ".join([*words[:i], "soon", *words[i + 1 :]])


def in_json(whole: dict[str, Any], inner: Any = None) -> Iterator[tuple[str, str]]:
    """Yield each field of a document, at any depth, and the document in which it is something else."""
    inner = whole if inner is None else inner
    for name, value in list(inner.items()):
        if isinstance(value, dict):
            yield from in_json(whole, value)
        inner[name] = 7 if isinstance(value, str) else "soon"
        yield name, json.dumps(whole)
        inner[name] = value


@pytest.fixture
def scene(settings: Settings, cluster: ClusterClient, hand: Hand) -> Iterator[Scene]:
    app = make_app(settings)
    with closing(Link(settings)) as link, closing(app):
        yield Scene(settings, cluster, hand, link, app)


@pytest.mark.parametrize("kind", KINDS)
def test_each_reader_goes_on_and_names_it(scene: Scene, kind: str) -> None:
    redis, keys, store = scene.redis, scene.keys, scene.runtime.store
    bad, sound = scene.at_work["bad"], scene.at_work["sound"]
    key, _ = scene.place(kind)
    tried = 0
    for field, name, text in list(scene.damages(kind)):
        whole = redis.dump(key)
        redis.hset(key, field, text)
        what = f"{kind} {field} {name} {text}"

        told = on_damage(_damage(scene.link))
        assert bool(told) is (name not in ANYTHING.get(kind, ())), what
        for finding in told:
            assert "sound" not in finding.text, what
            assert any(each in finding.text for each in (field, bad, scene.ended["bad"].id)), what
            assert name in finding.text, what
            assert "\x1b" not in finding.text, what
            assert finding.remedy, what
        assert sound in {each.id for each in scene.link.unended()}, what
        assert sound in {each.id for each in store.operations(10)}, what

        redis.zadd(keys.due, {bad: 1, sound: 2})
        redis.zadd(keys.ended, {scene.ended["bad"].id: 1})  # beyond its retention
        now = store.now()  # before the sweep, for what it puts off until then may be due at once
        with noted() as swept:
            assert "resumed" in _sweep(scene.app, scene.runtime, lambda: None), what
        assert (kind == "operation" and bool(told)) <= bool(swept), what
        for operation in (bad, sound):
            assert cast(float, redis.zscore(keys.due, operation)) > now, what
        for group in scene.at_work:
            assert scene.patrol(group).answered >= 2, what
        standing = scene.reader.read()
        counted = standing["operations_in_flight"], standing["drift"] >= 3, standing["paused_hosts"]
        assert counted == (2, True, 2), what
        assert HostName("node-sound") in scene.link.silences.all(), what
        assert "node-sound" in scene.link.clocks.inventories(), what
        redis.delete(key)
        redis.restore(key, 0, cast(bytes, whole))
        redis.zadd(keys.operations, {scene.ended["bad"].id: 1})
        tried += 1
    assert tried


def test_the_command_names_it_in_a_line(scene: Scene, lockstep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, sound = scene.at_work["bad"], scene.at_work["sound"]
    scene.redis.hset(scene.keys.operation(bad), "total", "many")
    scene.redis.hset(scene.keys.steps(sound), NODE1, "garbage")
    scene.redis.set(scene.keys.steps(scene.ended["bad"].id), "no hash")
    for kind in ("pause", "drift"):
        scene.redis.hset(*scene.place(kind), "garbage")
    why = 'its field total is "many", and must be a number'
    one = f"the operation {bad} cannot be read, and is left as it is: {why}"
    every = [
        one,
        f"the step node1 in {scene.keys.steps(sound)} cannot be read",
        f"the pause node-bad in {scene.keys.paused} cannot be read",
        f"the drift bad node1 in {scene.keys.drift} cannot be read",
    ]

    listed = lockstep("list")
    assert sound in listed.out
    assert bad not in listed.out
    assert f"lockstep: {one} -> docs/operations.md#a-damaged-record\n" in listed.err
    stuck = lockstep("list", "--stuck")
    assert stuck.code == 1
    for line in every:
        assert stuck.err.count(line) == 1
        assert line in listed.err or "step" in line
    damaged = json.loads(lockstep("list", "--stuck", "--json").out)["damaged"]
    assert [each["field"] for each in damaged] == [bad, "node1", "bad node1", "node-bad"]

    monkeypatch.setattr("lockstep.producer.doctor.facts.PING", 0.1)
    monkeypatch.setenv("LOCKSTEP_HOSTS", "")
    monkeypatch.setenv("LOCKSTEP_SWEEP_EVERY", "0.1")
    examined = lockstep("doctor")
    assert examined.err == ""
    for line in every:
        assert f"failure  record             {line}" in examined.out
    assert "-> lockstep resume node-bad, and pause it again\n" in examined.out
    assert f"-> valkey-cli hdel {scene.keys.drift} 'bad node1'\n" in examined.out

    shown = lockstep("status", bad)
    assert (shown.code, shown.out) == (5, "")
    assert shown.err.startswith(
        f'lockstep: error: the record of operation "{bad}" cannot be read: its field total is '
    )
    assert "node2" in lockstep("status", sound).out
    assert lockstep("status", scene.ended["bad"].id).code == 5
