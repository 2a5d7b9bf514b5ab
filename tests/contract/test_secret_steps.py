"""Things with secrets: sealed in the record, and brought back as each host held them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from lockstep.worker.kinds import asked_of
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply
from lockstep.worker.operation.model import State
from lockstep.worker.steps.apply import forward
from tests.contract.contents import Node
from tests.contract.test_content_steps import THING, A, B, Rig
from tests.unit.kinds.made import kind_of

ONE, TWO = base64.b64encode(b"1" * 32).decode(), base64.b64encode(b"2" * 32).decode()
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

    def answer(self, request: HttpRequest) -> Reply | NoReply:
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
    met = {"values": ["n"], "note": "canary-note", "hash": "canary-hash-b"}
    a, b = Hashing("a", user("canary-hash-a")), Hashing("b", met)
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
    forward(rig.context, rig.id, rig.group, rig.action, A, 1)
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
    said = forward(rig.context, rig.id, rig.group, rig.action, A, 1)
    assert (a.writes, rig.step(A).misses) == ([], 0)
    assert f"sealed with key {first}" in said.text
    assert f"sealed with key {first}" in (rig.step(A).reason or ""), "`show` says it"
    assert "canary" not in said.text
    keys(tmp_path, TWO, ONE)  # the first seals what is new, and each opens
    forward(rig.context, rig.id, rig.group, rig.action, A, 1)
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
