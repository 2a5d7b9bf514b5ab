"""The steps of things with content, over nodes that play a kind, in the twin's time."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lockstep.worker.kinds import Kind, Request, SealKeys, asked_of
from lockstep.worker.operation.answer import NoReply, Reply, Trouble
from lockstep.worker.operation.content import Id, Said, Shown
from lockstep.worker.operation.host import Backoff
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    HostRef,
    Operation,
    OperationId,
    Outcome,
    State,
    Undo,
)
from lockstep.worker.operation.ports import HostApi
from lockstep.worker.operation.thing import Asked
from lockstep.worker.operation.transitions import Request as Wanted
from lockstep.worker.steps import Parts, forward, rollback, settle
from tests.contract.bench import LIMITS, MemoryBench
from tests.unit.kinds.made import kind_of

A, B, C = HostName("a"), HostName("b"), HostName("c")
KIND = kind_of("""
kind: record
fields:
  ttl: {type: integer, default: 3600}
  values: {type: set, required: true, rewritten: true}
  note: {type: string}
look: GET /records/{id}
create: {request: "PUT /records/{id}", applied: 201, replaced: 204}
update: {request: "PUT /records/{id}", applied: 204, replaced: 201}
delete: DELETE /records/{id}
""")
THING = KIND.parse("record/www")


class Node:
    """A host that keeps records, and does to writes what it is told to."""

    def __init__(self, name: str, holds: dict[str, Any] | None = None) -> None:
        self.fingerprint = f"url-of-{name}"
        self.holds = holds
        self.manners: list[str] = []
        """Of the next writes: refuse, ignore, lose, late."""
        self.rewrites = False
        self.before_write: list[dict[str, Any] | None] = []
        """What a third hand makes of it before the next writes."""
        self.writes: list[tuple[str, Any]] = []

    def look(self, kind: Kind, thing: Id) -> Shown:
        request = kind.request("look", thing)
        assert request.path == "/records/www"
        body = json.dumps(self.holds).encode()
        return kind.shown(thing, Reply(404) if self.holds is None else Reply(200, body))

    def send(
        self,
        kind: Kind,
        verb: Any,
        thing: Id,
        request: Request,
        attempt: AttemptId,
        send_before: float,
        hidden: Iterable[str] = (),
    ) -> Said:
        return kind.said(verb, thing, self.answer(request), hidden)

    def answer(self, request: Request) -> Reply | NoReply:
        if self.before_write:
            self.holds = self.before_write.pop(0)
        manner = self.manners.pop(0) if self.manners else ""
        body = json.loads(request.body) if request.body else None
        self.writes.append((request.method, body))
        if manner == "refuse":
            return Reply(403)
        was = self.holds
        if manner not in ("ignore", "lose"):
            self.holds = None if request.method == "DELETE" else body
            if self.rewrites and self.holds is not None:
                self.holds = {**self.holds, "values": [each.upper() for each in self.holds["values"]]}
        if manner in ("lose", "late"):
            return NoReply(Trouble.LOST, "read timeout")
        if request.method == "DELETE":
            return Reply(404 if was is None else 204)
        return Reply(201 if was is None else 204)


class Clock:
    """The twin's."""

    def __init__(self, bench: MemoryBench) -> None:
        self.bench, self.ids = bench, 0

    def elapsed(self) -> float:
        return self.bench.time / 1000

    def jitter(self) -> float:
        return 0.5

    def new_id(self) -> AttemptId:
        self.ids += 1
        return AttemptId(f"t{self.ids}")


class Rig:
    """An operation on one record, and the nodes that it is on."""

    def __init__(
        self,
        verb: str,
        *nodes: tuple[HostName, Node],
        kind: Kind = KIND,
        secrets: Mapping[str, str] | None = None,
        seals: SealKeys | None = None,
        **given: Any,
    ) -> None:
        self.bench, self.nodes = MemoryBench(), dict(nodes)
        self.id, self.group = OperationId("one"), GroupId(THING.text)
        self.action = Action.DELETE if verb == "delete" else Action.CREATE
        seals = seals or SealKeys()
        asked, _ = asked_of(kind, THING, verb, given, secrets or {}, seals, accept_loss=True)
        refs = tuple(HostRef(name, node.fingerprint) for name, node in nodes)
        store = self.bench.memory
        store.accept(Wanted(self.id, self.group, self.action, refs, 60_000, "a test", content=asked))
        self.parts = Parts(
            store=store,
            host=self.host,
            clock=Clock(self.bench),
            limits=LIMITS,
            forward_backoff=Backoff(0.01, 0.05),
            rollback_backoff=Backoff(0.01, 0.05),
            retry_after_cap=1.0,
            order=store.order,
            kind=lambda _: kind,
            seals=seals,
        )

    def host(self, name: HostName) -> HostApi | None:
        return cast(HostApi | None, self.nodes.get(name))

    def run(self) -> Rig:
        """Run steps until the operation has ended or nothing changes any more."""
        for _ in range(40):
            kept = self.kept
            if kept.ended:
                break
            for name in self.nodes:
                self.work(name, kept)
            self.bench.pass_time(30)
        return self

    def work(self, name: HostName, kept: Operation) -> None:
        """Run the step that a host needs by what was read of the operation."""
        if kept.decision is None:
            forward(self.parts, self.id, self.group, self.action, name, 1)
        elif kept.state is State.ROLLING_BACK:
            rollback(self.parts, self.id, name, 1)
        else:
            settle(self.parts, self.id, name, 1)

    @property
    def kept(self) -> Operation:
        kept = self.bench.memory.operation(self.id)
        assert kept is not None
        return kept

    @property
    def state(self) -> State:
        return self.kept.state

    @property
    def why(self) -> str:
        return self.kept.reason or ""

    def step(self, name: HostName) -> Any:
        return next(step for step in self.bench.memory.steps(self.id) if step.host == name)


def record(*values: str, ttl: int = 60, note: str | None = "mine") -> dict[str, Any]:
    return {"ttl": ttl, "values": list(values), "note": note}


def test_set_brings_every_host_to_one_content_and_leaves_what_is_not_given() -> None:
    a, b = Node("a", record("x")), Node("b", record("y", note="theirs"))
    rig = Rig("set", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.COMMITTED
    assert a.holds == record("n", ttl=3600)
    assert b.holds == record("n", ttl=3600, note="theirs")
    assert len(a.writes) == len(b.writes) == 1


def test_a_failure_brings_every_host_back_to_its_own_old_content_proved_by_a_look() -> None:
    a, b, c = Node("a", record("x")), Node("b", record("y", ttl=5)), Node("c", record("z"))
    c.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), (C, c), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert (a.holds, b.holds, c.holds) == (record("x"), record("y", ttl=5), record("z"))
    assert rig.step(A).undo is Undo.RESTORED


def test_a_deleted_thing_comes_back_as_each_host_held_it() -> None:
    a, b = Node("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("delete", (A, a), (B, b)).run()
    assert rig.state is State.ROLLED_BACK
    assert (a.holds, b.holds) == (record("x"), record("y"))
    assert [method for method, _ in a.writes] == ["DELETE", "PUT"]


def test_create_refuses_other_content_and_is_unchanged_where_it_stands_so_already() -> None:
    a, b = Node("a"), Node("b", record("n", ttl=3600))
    assert Rig("create", (A, a), (B, b), values=["n"]).run().state is State.COMMITTED
    assert b.writes == []
    a, b = Node("a"), Node("b", record("other"))
    rig = Rig("create", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert "it is there with other content: set it" in rig.why
    assert (a.holds, b.holds) == (None, record("other"))


@pytest.mark.parametrize("manner", ["late", "lose"])
def test_a_lost_answer_is_looked_into(manner: str) -> None:
    a = Node("a", record("x"))
    a.manners = [manner]
    rig = Rig("set", (A, a), values=["n"]).run()
    assert rig.state is State.COMMITTED
    assert a.holds == record("n", ttl=3600)
    assert len(a.writes) == (1 if manner == "late" else 2)


def test_a_host_that_rewrites_is_committed_and_restored() -> None:
    a, b = Node("a", record("X")), Node("b", record("y"))
    a.rewrites = True
    assert Rig("set", (A, a), (B, b), values=["n"]).run().state is State.COMMITTED
    assert a.holds == record("N", ttl=3600)
    a, b = Node("a", record("X")), Node("b", record("y"))
    a.rewrites, b.manners = True, ["refuse"]
    assert Rig("set", (A, a), (B, b), values=["n"]).run().state is State.ROLLED_BACK
    assert a.holds == record("X")


def test_a_host_that_says_yes_and_changes_nothing_rolls_the_operation_back() -> None:
    a, b = Node("a", record("x")), Node("b", record("y"))
    a.manners = ["ignore"]
    rig = Rig("set", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert rig.step(A).outcome is Outcome.REFUSED
    assert "a said yes (204), and changed nothing" in rig.why
    assert b.holds == record("y")
    assert len(a.writes) == 1, "never a second write"


def test_what_a_third_hand_made_since_the_look_is_named_as_overwritten() -> None:
    a, b = Node("a"), Node("b")
    a.before_write = [record("theirs")]
    rig = Rig("create", (A, a), (B, b), values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert rig.step(A).trace.overwrote
    assert b.holds is None


def test_a_third_hand_after_our_write_is_left_to_a_person() -> None:
    a, b = Node("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), values=["n"])
    forward(rig.parts, rig.id, rig.group, rig.action, A, 1)
    a.holds = record("theirs")
    rig.run()
    assert rig.state is State.ROLLING_BACK
    assert a.holds == record("theirs")
    assert rig.step(A).trace.foreign
    rig.bench.memory.resolve(rig.id, A, "alice")
    assert rig.run().state is State.ROLLED_BACK
    assert a.holds == record("x")


@pytest.mark.parametrize("restore", ["exact", "presence"])
def test_a_host_that_restores_presence_alone_is_restored_where_the_kind_says_so(restore: str) -> None:
    kind = kind_of(KIND.source.replace(", rewritten: true", "") + f"restore: {restore}\n")
    a, b = Node("a", record("x")), Node("b", record("y"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), kind=kind, values=["n"])
    forward(rig.parts, rig.id, rig.group, rig.action, A, 1)
    a.rewrites = True
    rig.run()
    assert a.holds == record("X")
    assert rig.state is (State.ROLLED_BACK if restore == "presence" else State.ROLLING_BACK)
    assert rig.step(A).lost_fields == (("values",) if restore == "presence" else ())


def test_a_worker_without_the_definition_counts_nothing() -> None:
    rig = Rig("set", (A, Node("a", record("x"))), values=["n"])
    parts = Parts(**{**{name: getattr(rig.parts, name) for name in rig.parts.__slots__}, "kind": lacking})
    said = forward(parts, rig.id, rig.group, rig.action, A, 1)
    assert "lacks the definition" in said.text
    assert rig.step(A).misses == 0


USER = kind_of("""
kind: record
fields:
  values: {type: set, default: []}
  note: {sensitive: true}
  password: {secret: true, kept_as: hash}
look: {request: "GET /records/{id}", keep: {hash: item.hash}}
create:
  request: PUT /records/{id}
  json:
    values: content.values
    note: content.note
    password: secret.password
    hash: if(secret.password, null, kept.hash)
  applied: 201
  replaced: 204
update: {like: create, applied: 204, replaced: 201}
delete: DELETE /records/{id}
""")


class Hashing(Node):
    """A host that shows of a password its hash alone, never twice the same, and quotes what it refuses."""

    def answer(self, request: Request) -> Reply | NoReply:
        refuses = self.manners[:1] == ["refuse"]
        came = super().answer(request)
        if refuses:
            return Reply(
                403, b'{"error": "no such thing as ' + (request.body or b"")[:60].replace(b'"', b"'") + b'"}'
            )
        if self.holds is not None and (password := self.holds.pop("password", None)):
            self.holds["hash"] = f"hash {len(self.writes)} of {password}"
        return came


def keys(folder: Path, *lines: str) -> SealKeys:
    (folder / "keys").write_text("".join(f"{each}\n" for each in lines))
    return SealKeys(str(folder / "keys"))


def user(hash_: str) -> dict[str, Any]:
    return {"values": ["x"], "note": "canary-note-of-old", "hash": hash_}


def test_a_secret_is_sealed_in_the_record_and_the_old_one_comes_back(tmp_path: Path) -> None:
    seals, given = keys(tmp_path, ONE), {"password": "canary-new", "note": "canary-note"}
    a, b = Hashing("a", user("canary-hash-a")), Hashing("b", user("canary-hash-b"))
    rig = Rig("set", (A, a), (B, b), kind=USER, seals=seals, secrets=given, values=["n"]).run()
    assert rig.state is State.COMMITTED
    assert [each.holds for each in (a, b)] == [
        {"values": ["n"], "note": "canary-note", "hash": "hash 1 of canary-new"} for _ in "ab"
    ], "also where all that a look shows is the target"
    assert "canary" not in written(rig)
    assert "secret" not in rig.bench.memory.records[rig.id].texts, "it goes at the end"
    a, b = Hashing("a", user("canary-hash-a")), Hashing("b", user("canary-hash-b"))
    b.manners = ["refuse"]
    rig = Rig("set", (A, a), (B, b), kind=USER, seals=seals, secrets=given, values=["n"]).run()
    assert rig.state is State.ROLLED_BACK
    assert (a.holds, b.holds) == (user("canary-hash-a"), user("canary-hash-b"))
    assert "canary" not in written(rig)
    assert "b refused (403" in rig.why


def test_a_secret_that_did_not_come_back_is_no_restore_though_all_else_is_like_before(tmp_path: Path) -> None:
    kind = kind_of(
        USER.source.replace("{type: set, default: []}", "{type: set, rewritten: true, default: []}")
    )
    a, b = Hashing("a", user("canary-hash-a")), Hashing("b", user("canary-hash-b"))
    b.manners = ["refuse"]
    given = {"password": "canary-new"}
    rig = Rig("set", (A, a), (B, b), kind=kind, seals=keys(tmp_path, ONE), secrets=given, values=["n"])
    forward(rig.parts, rig.id, rig.group, rig.action, A, 1)
    a.before_write = [{"values": ["z"], "note": "canary-note-of-old", "hash": "canary-other"}]
    a.manners = ["ignore"]
    assert rig.run().state is State.ROLLED_BACK
    assert a.holds == user("canary-hash-a")


def written(rig: Rig) -> str:
    memory = rig.bench.memory
    return f"{memory.records} {memory.contents} {rig.why}"


def test_without_the_key_nothing_is_written_and_a_rollback_waits(tmp_path: Path) -> None:
    seals = keys(tmp_path, ONE)
    first = next(iter(seals.read()))
    a, b = Hashing("a", user("canary-hash-a")), Hashing("b", user("canary-hash-b"))
    rig = Rig("set", (A, a), (B, b), kind=USER, seals=seals, secrets={"password": "canary-new"})
    keys(tmp_path, TWO)
    said = forward(rig.parts, rig.id, rig.group, rig.action, A, 1)
    assert (a.writes, rig.step(A).misses) == ([], 0)
    assert f"sealed with key {first}" in said.text
    assert "canary" not in said.text
    keys(tmp_path, TWO, ONE)  # the first seals what is new, and each opens
    forward(rig.parts, rig.id, rig.group, rig.action, A, 1)
    assert len(a.writes) == 1
    keys(tmp_path, TWO)
    rig.bench.memory.cancel(rig.id, "a test")
    rig.run()
    assert rig.state is State.ROLLING_BACK
    assert f"sealed with key {first}" in rig.step(A).reason
    keys(tmp_path, ONE)
    assert rig.run().state is State.ROLLED_BACK
    assert a.holds == user("canary-hash-a")


def test_an_id_that_is_used_again_must_ask_for_the_same_secret(tmp_path: Path) -> None:
    seals = keys(tmp_path, ONE)
    one, same, other = (
        asked_of(USER, THING, "set", {}, {"password": each}, seals)[0] for each in ("word", "word", "other")
    )
    assert one.kept() == same.kept() != other.kept()
    assert one.texts["secret"] != same.texts["secret"]


ONE, TWO = base64.b64encode(b"1" * 32).decode(), base64.b64encode(b"2" * 32).decode()


def lacking(asked: Asked) -> Kind:
    from lockstep.worker.operation.errors import InvalidInput

    raise InvalidInput(f"no definition here is {asked.kind}")
