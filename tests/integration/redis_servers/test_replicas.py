"""A write to a host, and what somebody is told, rests on nothing that a replica does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from lockstep.producer.stack.guard import Guard
from lockstep.worker.celery.messages import publish
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Millis,
    OperationId,
    Outcome,
    Presence,
    Seen,
)
from lockstep.worker.operation.transitions import Accepted, Claim, Forward, Phase, Request
from lockstep.worker.record.link import connect
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from tests.integration.redis_servers.servers import Replicated
from tests.integration.worker.harness import Bench
from tests.waits import eventually
from tests.warm import WarmCluster

T = TypeVar("T")

ABSENT = Seen(Presence.ABSENT)
FIRST, SECOND = AttemptId("first"), AttemptId("second")
WAIT = {"replicas_wait": "1", "replicas_wait_ms": "300"}


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    with closing(Guard()) as guard:
        yield guard


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, guard: Guard) -> tuple[Replicated, Replicated]:
    """A primary and its replica, in sync."""
    directory = tmp_path_factory.mktemp("servers")
    primary = Replicated(directory / "primary", guard)
    primary.start()
    replica = Replicated(directory / "replica", guard, primary)
    replica.start()
    eventually(replica.in_sync, "the replica is in sync")
    return primary, replica


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, guard: Guard, pair: tuple[Replicated, Replicated]
) -> Iterator[Bench]:
    """Workers and beat that wait for the replica."""
    directory = tmp_path_factory.mktemp("served")
    cluster = WarmCluster(directory, 3, guard=guard)
    cluster.start()
    with closing(Bench(pair[0], cluster, guard, directory / "bench", WAIT)) as bench:
        bench.run_all()
        yield bench


def request(bench: Bench, name: str, action: Action = Action.CREATE) -> Request:
    """An operation on a group, both of this name; nothing publishes it."""
    hosts = tuple(host.ref for host in bench.inventory)
    return Request(OperationId(name), GroupId(name), action, hosts, 60_000, "test")


def store(bench: Bench, **changed: object) -> RedisStore:
    """A store whose connections are its own, and remember nothing of what others have waited for."""
    return connect(bench.settings.but(**{"key_prefix": "apart:", **changed}))


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(StoreUnavailable, match=r"^0 of 1 replicas of Redis had the last write after 300 ms"):
        call()


def served_again(call: Callable[[], T]) -> T:
    """What a call returns once the replica has caught up."""

    def look() -> list[T]:
        with suppress(StoreUnavailable):
            return [call()]
        return []

    return eventually(look, "the replica has caught up")[0]


def test_every_transition_that_something_rests_on_waits(
    served: Bench, pair: tuple[Replicated, Replicated]
) -> None:
    asked = request(served, "waits")
    host, op = asked.hosts[0], asked.id
    key, about = (op, host.name, host.fingerprint), (asked.action, asked.group)
    with pair[1].frozen():
        refused(lambda: store(served).accept(asked))
    known = store(served)
    assert served_again(lambda: known.accept(asked)) is Accepted.EXISTING
    with pair[1].frozen():
        refused(lambda: store(served).begin(*key, ABSENT, FIRST, *about))
        # It is open, so that this call writes nothing; the replica must have it all the same.
        refused(lambda: store(served).begin(*key, ABSENT, FIRST, *about))
    assert served_again(lambda: known.begin(*key, ABSENT, FIRST, *about)).next is Forward.SEND
    with pair[1].frozen():
        # It runs all the same: what a host has said is kept, whoever lacks it.
        refused(lambda: known.finish(op, host.name, FIRST, Effect.APPLIED, "POST 201"))
        assert known.view(op, host.name).step.outcome is Outcome.APPLIED  # type: ignore[union-attr]
        refused(lambda: store(served).claim(op))
        refused(lambda: store(served).cancel(op, "because"))
        refused(lambda: store(served).begin_undo(*key, SECOND, Millis(0)))
        refused(lambda: store(served).abandon(op, host.name, "because"))
    assert served_again(lambda: known.cancel(op, "because")) is None


def test_while_the_replica_is_behind_nothing_is_begun_in_vain(
    served: Bench, pair: tuple[Replicated, Replicated]
) -> None:
    asked = request(served, "vain")
    host, op = asked.hosts[0], asked.id
    known = store(served)
    served_again(lambda: known.accept(asked))

    def begin(attempt: str) -> Forward:
        attempt_id = AttemptId(attempt)
        said = known.begin(op, host.name, host.fingerprint, ABSENT, attempt_id, asked.action, asked.group)
        return said.next

    with pair[1].frozen():
        for attempt in "abcdef":
            refused(partial(begin, attempt))
    assert served_again(lambda: begin("z")) is Forward.SEND
    step = next(step for step in known.steps(op) if step.host == host.name)
    assert sorted(attempt.id for attempt in step.attempts) == ["a", "z"]


def test_no_write_reaches_a_host_while_the_replica_stands_still(
    served: Bench, pair: tuple[Replicated, Replicated]
) -> None:
    careless = store(served, key_prefix=served.settings.key_prefix, replicas_wait=0)
    asked = request(served, "still")
    with pair[1].frozen():
        careless.accept(asked)
        publish(served.app, asked.id, Claim(Phase.FORWARD, asked.group, asked.action, tuple(served.hosts)))
        eventually(lambda: len(served.history(group=asked.group)) >= 12, "workers have looked often")
        assert {entry.method for entry in served.history(group=asked.group)} == {"GET"}
        assert careless.operation(asked.id).decision is None  # type: ignore[union-attr]
    assert served.end(asked.id).operation.decision is Decision.COMMIT
    assert served.holding(asked.group) == set(served.hosts)


@pytest.mark.parametrize(("wanted", "kept"), [(1, False), (2, True)])
def test_what_all_replicas_have_no_failover_loses(
    tmp_path: Path, guard: Guard, wanted: int, kept: bool
) -> None:
    """Sentinels that do not reach the primary promote one replica, and only then have the other follow it."""
    primary = Replicated(tmp_path / "primary", guard)
    primary.start()
    promoted, other = (Replicated(tmp_path / name, guard, primary) for name in ("promoted", "other"))
    for replica in (promoted, other):
        replica.start()
    for replica in (promoted, other):
        eventually(replica.in_sync, "the replica is in sync")
    settings = Settings(redis_url=primary.url, replicas_wait=wanted, replicas_wait_ms=300)
    asked = Request(
        OperationId("cut-off"), GroupId("g"), Action.CREATE, (HostRef(HostName("n"), "f"),), 60_000, "test"
    )
    with promoted.client() as taken:
        taken.replicaof("NO", "ONE")
        try:
            acknowledged = connect(settings).accept(asked) is Accepted.ACCEPTED
        except StoreUnavailable:
            acknowledged = False
        found = connect(settings.at(promoted.url)).operation(asked.id)
    assert found is None
    assert acknowledged is not kept, "with one replica alone it is told to be accepted, and is lost"
