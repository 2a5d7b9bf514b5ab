"""What rests on replicas waits for them, and what hosts have said is kept without them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.scripts import Replicas, Scripts


class Pipe:
    """A pipeline to a Redis with two replicas, of which so many have what is written."""

    def __init__(self, sent: list[str], having: int) -> None:
        self._sent, self._having, self._answers = sent, having, list[object]()

    def evalsha(self, *_: object) -> None:
        self._answers.append(["said"])

    def set(self, *_: object) -> None:
        self._answers.append(True)

    def execute_command(self, *_: object) -> None:
        self._answers.append(self._having)

    def execute(self, *, raise_on_error: bool) -> list[object]:
        self._sent.append(" ".join("call" if each == ["said"] else str(each) for each in self._answers))
        return self._answers


@pytest.mark.parametrize(
    ("wanted", "name", "waits"), [(0, "begin", False), (1, "begin", True), (1, "view", False)]
)
def test_replicas_are_waited_for_where_any_are_wanted_and_something_rests_on_it(
    wanted: int, name: str, waits: bool
) -> None:
    assert Replicas("fence", wanted, 500).concern([(name, OperationId("op-1"))]) is waits


def test_while_replicas_are_behind_nothing_is_begun_and_what_hosts_said_is_kept() -> None:
    sent: list[str] = []
    having = [1]
    client = SimpleNamespace(pipeline=lambda transaction: Pipe(sent, having[0]))
    asked = Scripts(client, Keys("t:"), Replicas("fence", 2, 500))  # type: ignore[arg-type]

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
