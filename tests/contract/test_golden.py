"""Records of every format so far are read and brought to their end by the code of today."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lockstep.worker.hosts.client import SystemClock
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import Backoff, MaySend
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    OperationId,
    Presence,
    Seen,
    State,
)
from lockstep.worker.operation.transitions import Accepted, Phase
from lockstep.worker.record.codec import FORMAT
from lockstep.worker.record.keys import Keys
from lockstep.worker.steps.apply import StepContext, forward
from lockstep.worker.steps.rollback import rollback, settle
from tests.contract.bench import LIMITS, PREFIX, RedisBench
from tests.contract.driver import GROUP, Driver
from tests.contract.golden import FOLDER, load, opened, read
from tests.groups_alone import GroupsAlone
from tests.waits import PATIENCE

FILES = sorted(FOLDER.glob("format*/*.json"))
ONE = OperationId("one")
"""Seconds until an operation must have ended."""
ENDS: dict[str, tuple[State, set[str]]] = {
    "applying": (State.COMMITTED, {"a", "b", "c"}),
    "refused": (State.ROLLED_BACK, set()),
    "rolling_back": (State.ROLLED_BACK, {"a", "b", "c"}),
    "settling": (State.COMMITTED, {"a", "b", "c"}),
    "committed": (State.COMMITTED, {"a", "b", "c"}),
    "rolled_back": (State.ROLLED_BACK, {"b"}),
    "abandoned": (State.ABANDONED, set()),
}
"""What each comes to, and which hosts then hold the group."""


class Node(GroupsAlone):
    """A host that answers everything at once."""

    def __init__(self, name: str, body: str | None) -> None:
        self.fingerprint = f"url-of-{name}"
        self.body = body

    def unwell(self, path: str) -> str | None:
        return None

    def look_at_group(self, group: GroupId) -> LookAnswer:
        seen = Seen(Presence.PRESENT, self.body) if self.body else Seen(Presence.ABSENT)
        return LookAnswer(LookVerdict.SEEN, "GET 200" if self.body else "GET 404", seen)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        create = action is Action.CREATE
        if create == (self.body is not None):
            return WriteAnswer(Effect.CONTESTED, f"{action} 400")
        self.body = (body or json.dumps({"groupId": group})) if create else None
        return WriteAnswer(Effect.APPLIED, f"{action} done")


class Cluster:
    """The hosts as they were, and a worker that has all the time there is."""

    def __init__(self, bench: RedisBench, holding: list[str]) -> None:
        self.bench, self.store = bench, bench.store
        self.nodes = {name: Node(name, '{"groupId": "g"}' if name in holding else None) for name in "abc"}
        at_once = Backoff(0.001, 0.001)
        clock = SystemClock()
        self.context = StepContext(
            self.store, self.nodes.get, clock, LIMITS, at_once, at_once, 0.001, self.nodes.get
        )

    def end(self) -> None:
        """Do what the sweep finds to be done until nothing is left."""
        deadline = time.monotonic() + PATIENCE
        while not self._ended():
            assert time.monotonic() < deadline, read(self.store, ONE)
            claim = self.store.claim(ONE, resume=True)
            for host in claim.hosts if claim else ():
                assert claim
                self._step(claim.phase, host)
            self.bench.pass_time(LIMITS.settle)

    def holding(self) -> set[str]:
        return {name for name, node in self.nodes.items() if node.body}

    def _ended(self) -> bool:
        found = self.store.operation(ONE)
        assert found is not None
        return found.ended

    def _step(self, phase: Phase, host: HostName) -> None:
        found = self.store.operation(ONE)
        assert found is not None
        if phase is Phase.FORWARD:
            forward(self.context, ONE, GROUP, found.action, host, 1)
        else:
            (rollback if phase is Phase.ROLLBACK else settle)(self.context, ONE, host, 1)


@pytest.fixture(params=FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def kept(request: pytest.FixtureRequest, redis_bench: RedisBench) -> dict[str, Any]:
    """Every file in turn, in a Redis of its own."""
    path: Path = request.param
    found = opened(path, redis_bench.now())
    load(redis_bench.client, PREFIX, found["keys"])
    redis_bench.client.hset(Keys(PREFIX).operation(ONE), "patience", 1)  # nobody has a minute
    return {**found, "name": path.stem}


def test_a_record_of_any_format_is_read_as_it_was(kept: dict[str, Any], redis_bench: RedisBench) -> None:
    assert_within(kept["read"], read(redis_bench.store, ONE), "")


def assert_within(said: Any, says: Any, where: str) -> None:
    """Whatever was said then is still said; a later version may say more."""
    if isinstance(said, dict):
        for name, value in said.items():
            assert_within(value, says[name], f"{where}.{name}")
    elif isinstance(said, list):
        assert len(said) == len(says), where
        for index, value in enumerate(said):
            assert_within(value, says[index], f"{where}[{index}]")
    else:
        assert said == says, where


def test_a_record_of_any_format_comes_to_its_end(kept: dict[str, Any], redis_bench: RedisBench) -> None:
    cluster = Cluster(redis_bench, kept["holding"])
    cluster.end()
    state, holding = ENDS[kept["name"]]
    assert read(cluster.store, ONE)["operation"]["state"] == state
    assert cluster.holding() == holding
    if kept["name"] == "rolling_back":
        assert "red" in str(cluster.nodes["c"].body), "it was restored with what it held"
    assert {step.host for step in cluster.store.steps(ONE) if step.open_attempts} == set()
    assert cluster.store.lock_owner(GROUP) is None
    assert ONE not in cluster.store.due(10)


def test_a_record_of_any_format_is_found_by_later_operations(
    kept: dict[str, Any], redis_bench: RedisBench
) -> None:
    one = Driver(redis_bench, ONE, Action(kept["read"]["operation"]["action"]))
    hosts = (HostName("a"), HostName("b"), HostName("c"))
    assert redis_bench.store.accept(one.request(hosts)) is Accepted.EXISTING
    Cluster(redis_bench, kept["holding"]).end()
    assert Driver(redis_bench, "two").accept(hosts) is Accepted.ACCEPTED


def test_there_are_files_of_this_format_and_each_is_looked_at() -> None:
    assert {path.stem for path in (FOLDER / f"format{FORMAT}").glob("*.json")} == set(ENDS)


def test_a_file_of_another_format_would_be_noticed(redis_bench: RedisBench) -> None:
    found = opened(FILES[0], redis_bench.now())
    keys = found["keys"]
    keys[f"op:{ONE}"]["value"]["total"] = "7"
    load(redis_bench.client, PREFIX, keys)
    with pytest.raises(AssertionError, match="hosts_done"):
        assert_within(found["read"], read(redis_bench.store, ONE), "")
