"""Real parts for the worker's integration tests: Redis, mock nodes, workers and beat, with short times."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lockstep.mock_api.admin import ClusterAdmin
from lockstep.mock_api.history import Record as Entry
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import MockCluster, RedisServer
from lockstep.worker.celery import Lockstep, make_app
from lockstep.worker.celery.messages import publish
from lockstep.worker.inventory import Inventory, load_inventory
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, Status, Step
from lockstep.worker.operation.transitions import Accepted, Claim, Phase, Request
from lockstep.worker.operation.waves import Rollout
from lockstep.worker.record.link import connect
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from tests.chaos.journal import commands
from tests.children import inherited
from tests.model.trace import replay
from tests.waits import PATIENCE, eventually
from tests.warm import Warm, WarmCluster

ROOT = Path(__file__).parents[3]
SHORT = {
    "connect_timeout": "1",
    "read_timeout": "1",
    "call_timeout": "2",
    "send_within": "1",
    "settle_seconds": "1",
    "patience": "2",
    "backoff_base": "0.1",
    "backoff_cap": "1",
    "rollback_backoff_cap": "2",
    "sweep_every": "0.5",
    "sweep_patience": "2",
    "visibility_timeout": "30",
    "restore_every": "1",
    "redis_timeout": "2",
    "concurrency": "8",
}
"""Times short enough for tests, in the relations that the shipped ones have."""
BY_HAND: set[str] = set()
"""Keys of operations into whose records a test has written: the model has nothing to say of these."""
DECIDED_LATER: set[str] = set()
"""Keys of operations that the release before works on: there a decision is a transition of its own."""


@dataclass(frozen=True, slots=True)
class End:
    """Where an operation came to."""

    operation: Status
    steps: dict[str, Step]

    @property
    def outcomes(self) -> dict[str, str | None]:
        """Host -> outcome."""
        return {
            name: None if step.outcome is None else step.outcome.value for name, step in self.steps.items()
        }


@dataclass
class Bench:
    """One Redis, one mock cluster, and the workers of one test under a key prefix of its own."""

    redis: RedisServer
    cluster: MockCluster
    guard: Guard
    directory: Path
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        inventory = self.directory / "hosts.yaml"
        entries = "".join(f"  - name: {name}\n    url: {url}\n" for name, url in self.cluster.nodes.items())
        inventory.write_text(f"hosts:\n{entries}")
        self.values = {
            **SHORT,
            "redis_url": self.redis.url,
            "inventory": str(inventory),
            "key_prefix": f"{secrets.token_hex(4)}:",
            **self.overrides,
        }
        self.settings = Settings(**self.values)
        self.store: RedisStore = connect(self.settings)
        self.app: Lockstep = make_app(self.settings)
        self.inventory: Inventory = load_inventory(self.settings)
        self.admin = ClusterAdmin(self.cluster.admin_url, PATIENCE)
        self.group = GroupId(f"team-{secrets.token_hex(3)}")
        self._stack = ExitStack()

    @property
    def env(self) -> dict[str, str]:
        """The environment of this bench's processes."""
        return {
            **inherited(),
            "PYTHONPATH": str(ROOT),
            **{f"LOCKSTEP_{key.upper()}": value for key, value in self.values.items()},
        }

    def close(self) -> None:
        """Stop this bench's processes and clear the cluster."""
        self._stack.close()
        self.clear()
        self.app.close()

    def clear(self) -> None:
        """Mend every node, and take another group for what follows."""
        self.admin.reset()
        self.admin.set_latency(None)
        for name, node in self.admin.nodes().items():
            self.admin.set_manners(name, delete_absent=404)
            if not node.up:
                self.admin.up(name)
        self.group = GroupId(f"team-{secrets.token_hex(3)}")

    def child(self, name: str, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        """Start a Python process of this test; it is stopped with the test."""
        command = [sys.executable, *arguments]
        grace = self.settings.call_timeout + 5
        child = Warm(
            name,
            command,
            directory=self.directory,
            guard=self.guard,
            env={**self.env, **(env or {})},
            grace=grace,
        )
        self._stack.callback(child.stop)
        child.launch()
        return child

    def worker(
        self,
        name: str = "worker",
        *,
        app: str = "lockstep",
        queues: str = "operations,rollback",
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        wait: bool = True,
    ) -> Child:
        """Start a worker and wait until it is ready."""
        quick = ["--without-gossip", "--without-mingle", "-l", "INFO"]
        arguments = ["-m", "celery", "-A", app, "worker", "-Q", queues, "-n", f"{name}@%h", *quick, *options]
        child = self.child(name, arguments, env)
        if wait:
            eventually(lambda: " ready." in child.output() or not child.running, f"{name} is ready")
            assert child.running, child.output()
        return child

    def keep_running(
        self, name: str, queues: str = "operations,rollback", options: Sequence[str] = ()
    ) -> None:
        """Start a worker that is started again when it exits, as in every stack; it is not waited for."""
        worker = self.worker(name, queues=queues, options=options, wait=False)
        over = threading.Event()

        def supervise() -> None:
            while not over.wait(0.05):
                worker.launch()  # nothing to do while it runs

        supervising = threading.Thread(target=supervise, daemon=True)
        supervising.start()
        self._stack.callback(supervising.join)
        self._stack.callback(over.set)

    def held_worker(self, point: str, options: Sequence[str] = ()) -> tuple[Child, Path]:
        """Start a worker that stops for ever at a named point; the path appears when it is there."""
        mark = self.directory / "held"
        env = {"HOLD_AT": point, "HOLD_MARK": str(mark)}
        return self.worker("held", app="tests.integration.worker.held", env=env, options=options), mark

    def beat(self, env: Mapping[str, str] | None = None) -> Child:
        """Start beat."""
        return self.child("beat", ["-m", "celery", "-A", "lockstep", "beat"], env)

    def run_all(self) -> None:
        """Start a worker for both queues, and beat."""
        self.beat()
        self.worker()

    def accept(
        self,
        action: Action,
        group: GroupId | None = None,
        key: str | None = None,
        retries: int | None = None,
        rollout: Rollout | None = None,
        deadline: float | None = None,
    ) -> OperationId:
        """Record an operation without publishing anything."""
        operation = OperationId(key or secrets.token_hex(6))
        hosts = tuple(host.ref for host in self.inventory)
        within = round(1000 * (deadline or self.settings.deadline))
        about = (operation, group or self.group, action, hosts, within, "test", retries)
        request = Request(*about, rollout=rollout)
        assert self.store.accept(request) is Accepted.ACCEPTED
        return operation

    def start(
        self,
        action: Action,
        group: GroupId | None = None,
        retries: int | None = None,
        rollout: Rollout | None = None,
        deadline: float | None = None,
    ) -> OperationId:
        """Record an operation and publish its chord, with waves that of the first."""
        operation = self.accept(action, group, retries=retries, rollout=rollout, deadline=deadline)
        waves = rollout.waves if rollout else {}
        hosts = tuple(host for host in self.hosts if waves.get(host, 1) == 1)
        claim = Claim(Phase.FORWARD, group or self.group, action, hosts, 1 if rollout else 0)
        publish(self.app, operation, claim)
        return operation

    @property
    def hosts(self) -> list[HostName]:
        """The names of all hosts."""
        return [host.name for host in self.inventory]

    def read(self, operation: OperationId) -> Status:
        """Read the operation from the record."""
        found = self.store.operation(operation)
        assert found is not None
        return found

    def end(self, operation: OperationId, patience: float = PATIENCE) -> End:
        """Wait until the operation's lock is released."""
        eventually(lambda: self.read(operation).ended, f"{operation} ends", patience)
        return End(self.read(operation), {step.host: step for step in self.store.steps(operation)})

    def holding(self, group: GroupId | None = None) -> set[str]:
        """Which nodes hold the group now."""
        return {name for name in self.cluster.nodes if (group or self.group) in self.admin.groups(name)}

    def history(self, node: str | None = None, group: GroupId | None = None) -> list[Entry]:
        """What the nodes say happened to the group."""
        entries = self.admin.history(node=node, group=group or self.group)
        return [entry for entry in entries if entry.actor != "admin"]

    def effects(self, node: str, group: GroupId | None = None) -> list[str]:
        """The changes of the group on a node, in their order."""
        changed = [entry for entry in self.history(node, group) if entry.effect_seq is not None]
        return [entry.method for entry in sorted(changed, key=lambda entry: entry.effect_seq or 0)]


@contextmanager
def parts(directory: Path, nodes: int = 3) -> Iterator[tuple[RedisServer, MockCluster, Guard]]:
    """Start a Redis server and a mock cluster of our own; at the end, hold every transition to the model."""
    guard = Guard()
    for part in ("redis", "cluster"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    redis = RedisServer(directory / "redis", guard=guard)
    cluster = WarmCluster(directory / "cluster", nodes, guard=guard)
    try:
        redis.start()
        cluster.start()
        yield redis, cluster, guard
        assert replay(commands(redis.directory), but_not=BY_HAND, late=DECIDED_LATER).wrong == []
    finally:
        cluster.stop()
        redis.stop()
        guard.close()
