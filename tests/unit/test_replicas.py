"""What rests on replicas waits for them, and what hosts have said is kept without them."""

from __future__ import annotations

from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.scripts import CallKind, Replicas, Scripts, _Wire


class Pipe:
    """A pipeline to a Redis with two replicas, of which so many have what is written."""

    def __init__(self, sent: list[str], having: int | Exception) -> None:
        self._sent, self._having, self._answers = sent, having, list[object]()

    def evalsha(self, *_: object) -> None:
        self._answers.append(["said"])

    def set(self, *_: object) -> None:
        self._answers.append(True)

    def execute_command(self, *_: object) -> None:
        self._answers.append(self._having)

    def execute(self, *, raise_on_error: bool) -> list[object]:
        self._sent.append(" ".join("call" if each == ["said"] else str(each) for each in self._answers))
        if raise_on_error and isinstance(self._having, Exception):
            raise self._having
        return self._answers


def client(sent: list[str], having: list[int | Exception]) -> Any:
    def pipeline(transaction: bool) -> Pipe:
        assert not transaction, "in one, WAIT would not wait"
        return Pipe(sent, having[0])

    return SimpleNamespace(pipeline=pipeline)


@pytest.mark.parametrize(
    ("wanted", "name", "waits"), [(0, "begin", False), (1, "begin", True), (1, "view", False)]
)
def test_replicas_are_waited_for_where_any_are_wanted_and_something_rests_on_it(
    wanted: int, name: str, waits: bool
) -> None:
    assert Replicas("fence", wanted, 500).concern([(name, OperationId("op-1"))]) is waits


def test_while_replicas_are_behind_nothing_is_begun_and_what_hosts_said_is_kept() -> None:
    sent: list[str] = []
    having: list[int | Exception] = [1]
    asked = Scripts(client(sent, having), Keys("t:"), Replicas("fence", 2, 500))

    def refused(name: str) -> bool:
        try:
            return asked.run(name, OperationId("op-1")) != "said"
        except StoreUnavailable as error:
            return str(error).startswith("1 of 2 replicas of Redis had the last write after 500 ms")

    assert refused("begin"), "it ran, and nothing may rest on it"
    assert refused("begin"), "it is not sent"
    assert refused("finish"), "it runs, for a host has said so"
    assert asked.run("view", OperationId("op-1")) == "said", "it needs nobody"
    assert sent == ["call True 1", "True 1", "True 1", "call True 1", "call"]
    sent.clear()
    having[0] = 2
    assert asked.run("begin", OperationId("op-1")) == "said", "they have caught up"
    assert asked.run("finish", OperationId("op-1")) == "said"
    assert sent == ["True 2", "call True 2", "call True 2"]


def test_what_rests_on_no_replica_is_done_though_they_cannot_be_asked() -> None:
    replicas = Replicas("fence", 2, 500)
    replicas.behind = True
    having: list[int | Exception] = [redis.ResponseError("unknown command 'WAIT'")]
    wire = _Wire(client([], having), Keys("t:"), replicas, SimpleQueue())
    kinds: list[CallKind] = [(name, OperationId("op-1")) for name in ("begin", "finish", "view")]
    begin, finish, view = (wire.send({kind: [()] for kind in kinds})[kind] for kind in kinds)
    assert isinstance(begin, StoreUnavailable)
    assert isinstance(finish, StoreUnavailable)
    assert (view, replicas.behind) == (["said"], True)


def test_replicas_have_nothing_where_the_write_before_them_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    full = redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'.")
    monkeypatch.setattr(Pipe, "set", lambda self, *_: self._answers.append(full))
    replicas = Replicas("fence", 2, 500)
    begin: CallKind = ("begin", OperationId("op-1"))
    sent = _Wire(client([], [2]), Keys("t:"), replicas, SimpleQueue()).send({begin: [()]})
    assert isinstance(sent[begin], StoreUnavailable)
    assert replicas.behind


def test_a_script_that_fails_is_no_failing_of_the_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = redis.ResponseError("LOCKSTEPDAMAGED [its field group is none]")
    monkeypatch.setattr(Pipe, "evalsha", lambda self, *_: self._answers.append(damaged))
    replicas = Replicas("fence", 2, 500)
    begin: CallKind = ("begin", OperationId("op-1"))
    assert _Wire(client([], [2]), Keys("t:"), replicas, SimpleQueue()).send({begin: [()]}) == {begin: damaged}
    assert not replicas.behind
