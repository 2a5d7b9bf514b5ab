"""The processes of one run, in one directory: started together, supervised, stopped together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.child import Child, Supervisor
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.celery import Lockstep, make_app
from lockstep.worker.connection import client
from lockstep.worker.operation.errors import LockstepError
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.link import connect
from lockstep.worker.record.queries import WriteLimits
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import Settings
from tests.chaos import journal
from tests.chaos.children import Beat, Node, Producers, Proxy, Worker
from tests.chaos.failover import Failovers
from tests.chaos.names import Names
from tests.chaos.orders import APART, AT_ONCE, KIND, LIMITED, Order, ask
from tests.chaos.tiers import Plan
from tests.children import inherited
from tests.release_before import OLD_WORKER, built
from tests.wrong_clock import WrongClock, library, sweep_up

ROOT = Path(__file__).parents[2]
HOSTS = 6
WORKERS = 2
BEFORE = "before"
"""The worker of the release before."""


class Rig:
    """Redis, a proxy before it, workers behind the proxy, beat, nodes, producers; a context manager."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory
        self.plan = plan
        self.lock = threading.RLock()
        """Held by whoever starts, stops or signals a child."""
        self.guard = Guard()
        self.restarts: list[str] = []
        """What the supervisor said."""
        folder = directory / "redis"
        folder.mkdir(parents=True)
        self.redis = RedisServer(folder, guard=self.guard, options=journal.ONE_JOURNAL)
        # A write beyond the limit that `Nemeses.fill_disk` sets fails then, and does not end the server.
        self.redis.command = ["/bin/sh", "-c", 'trap "" XFSZ; exec "$@"', "redis", *self.redis.command]
        (kinds := directory / "kinds").mkdir()
        (kinds / "card.yaml").write_text(KIND)
        self.nodes = {
            name: Node(name, plan.seed, directory, self.guard, self._base_env())
            for name in (f"node{n}" for n in range(1, HOSTS + 1))
        }
        self.names = Names(directory, list(self.nodes))
        self.settings: Settings
        self.failovers: Failovers | None = None
        """What is there in place of `redis` and `proxy`, if the plan says so."""
        self.proxy: Proxy
        self.workers: list[Worker]
        self.producers: Producers
        self.clocks: dict[str, WrongClock] = {}
        """Of each process that has a wall clock of its own; none where libfaketime is not installed."""
        self._supervisor: Supervisor | None = None
        self.others: list[Child] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        for node in self.nodes.values():
            node.launch()
        if self.plan.failovers:
            self.failovers = Failovers(self.directory / "redis", self.guard)
        else:
            self.redis.start()
        url = self.failovers.url if self.failovers else self.redis.url
        inventory, plain = self.directory / "hosts.yaml", self.directory / "hosts-without-limits.yaml"
        entries = "".join(
            f"  - name: {name}\n    url: http://{self.names.of(name)}:{node.port}\n"
            for name, node in self.nodes.items()
        )
        limits = f"    max_writes_at_once: {AT_ONCE}\n    writes_per_second: {1 / APART}\n"
        inventory.write_text(f"hosts:\n{entries}{limits}")
        plain.write_text(f"hosts:\n{entries}")
        values = {**self.plan.settings, "redis_url": url, "inventory": str(inventory)}
        values["kinds"] = str(self.directory / "kinds")
        self.settings = Settings(**values)
        direct = {**self._base_env(), **{f"LOCKSTEP_{key.upper()}": value for key, value in values.items()}}
        behind = direct
        if self.failovers is None:
            self.proxy = Proxy(self.redis.port, self.directory, self.guard, direct)
            behind = {**direct, "LOCKSTEP_REDIS_URL": f"redis://127.0.0.1:{self.proxy.port}/0"}
            self.others.append(self.proxy)
            self.proxy.start()
        self.workers = [
            Worker(
                name,
                self.plan.pool,
                self.directory,
                self.guard,
                self._own_clock(name, behind),
                self.names.within,
            )
            for name in (f"worker{n}" for n in range(1, WORKERS + 1))
        ]
        if self.plan.before:
            before = built(self.directory / "before")
            # It does not know of limits.
            env = {**behind, "PYTHONPATH": str(before), "LOCKSTEP_INVENTORY": str(plain)}
            old = ("-c", OLD_WORKER, "-A", "worker")
            where = (self.directory, self.guard, env, self.names.within, old)
            self.workers.append(Worker(BEFORE, self.plan.pool, *where))
        self.producers = Producers(self.directory, self.guard, self._own_clock("producers", direct))
        beat = Beat(self.directory, self.guard, self._own_clock("beat", direct))
        self.others += [self.producers, beat]
        for child in (*self.workers, self.producers, beat):
            child.launch()
        for child in (*self.nodes.values(), *self.workers, self.producers):
            child.wait_ready(60)
        self._supervisor = Supervisor([*self.workers, beat], self.lock, self.restarts.append)
        self._supervisor.start()
        with client(self.settings) as redis:  # a worker says so with its first report, which may come later
            said: dict[str, WriteLimit] = {LIMITED: WriteLimit(AT_ONCE, 1 / APART)}
            WriteLimits(redis, Keys(self.settings.key_prefix)).keep(said)
        self.store: RedisStore = connect(self.settings)
        self.app: Lockstep = make_app(self.settings)
        self.client = ClusterClient(self.settings, created_by="thread")

    def begin(self, orders: Sequence[Order], deadline: float) -> list[Order]:
        """Ask for operations at once; return those that were accepted."""

        def accepted(order: Order) -> bool:
            with suppress(LockstepError):  # others may work on the group, and Redis may be away
                return bool(ask(self.client, order, deadline))
            return False

        with ThreadPoolExecutor(len(orders)) as threads:
            said = list(threads.map(accepted, orders))
        return [order for order, was in zip(orders, said, strict=True) if was]

    def commands(self) -> Iterator[list[str]]:
        """Yield every command that Redis ran, in its order."""
        return self.failovers.commands() if self.failovers else journal.commands(self.redis.directory)

    def close(self) -> None:
        """Stop every process."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self.client.close()
            self.app.close()
        with self.lock:
            servers = self.failovers.children if self.failovers else [self.redis]
            children = [*getattr(self, "workers", []), *self.others, *self.nodes.values(), *servers]
            for child in children:
                child.kill()
        self.guard.close()
        sweep_up()

    def _own_clock(self, process: str, env: Mapping[str, str]) -> dict[str, str]:
        if library() is None or self.plan.before:  # the release before goes by the clocks of others
            return dict(env)
        self.clocks[process] = WrongClock(self.directory / f"{process}.clock")
        return {**env, **self.clocks[process].env}

    @staticmethod
    def _base_env() -> dict[str, str]:
        kept = inherited()
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # a process started anew would compile all that it imports
        compiled = str(ROOT / ".venv" / ".cache" / "pycache")
        return {"PYTHONPYCACHEPREFIX": compiled, **kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
