"""One Redis for all tests here; every test has a key prefix, and with it a record, of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lockstep.producer.cli import main
from lockstep.producer.client.client import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import Decision
from lockstep.worker.record import events
from lockstep.worker.record import events as following
from lockstep.worker.settings import Settings, load_settings
from tests.contract.producer.hand import NODE1, NODE2, Hand
from tests.contract.producer.nodes import GONE, HERE, Node
from tests.waits import PATIENCE

HOSTS = "http://node1:1,http://node2:1,http://node3:1"
_prefixes = (f"test{n}:" for n in itertools.count())


@dataclass(frozen=True)
class Ran:
    """What one run of the command came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        server.start()
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill, freeze and lock."""
    with RedisServer(tmp_path) as server:
        server.start()
        yield server


@pytest.fixture
def environment(shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {
        "LOCKSTEP_REDIS_URL": shared_redis.url,
        "LOCKSTEP_HOSTS": HOSTS,
        "LOCKSTEP_KEY_PREFIX": next(_prefixes),
        "LOCKSTEP_REDIS_TIMEOUT": "2",
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return load_settings()


@pytest.fixture
def cluster(settings: Settings) -> Iterator[ClusterClient]:
    with ClusterClient(settings, created_by="alice@desk") as made:
        yield made


@pytest.fixture
def operation(cluster: ClusterClient) -> Operation:
    return cluster.create_group("team-a")


@pytest.fixture
def pushed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without events nothing is noticed within a test's patience."""
    monkeypatch.setattr(following, "LOOK_AGAIN", 10 * PATIENCE)
    for each in (following, events):
        monkeypatch.setattr(each, "CONFIRM", PATIENCE)  # nor would a subscription be tried again


@pytest.fixture
def hand(settings: Settings) -> Iterator[Hand]:
    made = Hand(settings)
    yield made
    made.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def nodes(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Node]]:
    """Three real hosts in an inventory, node1 in the zone us, each without the group."""
    with ExitStack() as stack:
        made = {f"node{n}": stack.enter_context(Node()) for n in (1, 2, 3)}
        zones = {"node1": "us"}
        for each in made.values():
            each.answers = [GONE]
        path = tmp_path / "hosts.json"
        hosts = [
            {"name": name, "url": each.url, "labels": {"zone": zones.get(name, "eu")}}
            for name, each in made.items()
        ]
        path.write_text(json.dumps(hosts), "utf-8")
        monkeypatch.delenv("LOCKSTEP_HOSTS")
        monkeypatch.setenv("LOCKSTEP_INVENTORY", str(path))
        monkeypatch.setenv("LOCKSTEP_BACKOFF_BASE", "0.01")
        yield made


@pytest.fixture
def lockstep(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture
def created(nodes: dict[str, Node], cluster: ClusterClient, hand: Hand) -> Operation:
    """A group that an operation created on node1 and node2; node3 was not covered."""
    operation = cluster.create_group("team-a", ["node1", "node2"])
    for host in (NODE1, NODE2):
        hand.apply(operation, host)
        nodes[host].answers = [HERE]
    hand.decide(operation, Decision.COMMIT)
    return operation
