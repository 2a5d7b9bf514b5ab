"""The embedded stack: Redis, a mock cluster, two workers, beat and Flower as children of this process."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

from lockstep.extras import complaint
from lockstep.producer.discovery import Publication, RunningStack, StackError
from lockstep.producer.stack.child import Child, ChildOptions, Supervisor
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import Flower, MockCluster, RedisServer, Role, celery
from lockstep.worker.process.forks import renew_in_children
from lockstep.worker.settings import PREFIX

C = TypeVar("C", bound=Child)


class Stack:
    """Everything that Lockstep needs, on this machine, for as long as the `with` block lasts.

    `start` returns when every part is ready; `stop` when no process and no file of it is left, and that also
    holds after an exception, Ctrl-C or `kill -9` of this process. Its methods may be called from any thread.
    """

    def __init__(
        self,
        *,
        nodes: int = 5,
        flower: bool = False,
        env: Mapping[str, str] | None = None,
        redis_url: str | None = None,
        first_port: int = 0,
        seed: int = 0,
        publish: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Describe a stack; nothing is started. Raises StackError if an extra that it needs is not installed.

        `env` adds to the environment of its processes, which see no other LOCKSTEP_ variable. With
        `redis_url` that Redis is used and none started. `first_port` and `seed` are the mock cluster's.
        What ends by itself is started again, and `say` hears of it. `publish` lets `lockstep` find the stack
        with no settings.
        """
        for extra in ("demo", "flower") if flower else ("demo",):
            if lacks := complaint(extra, "the embedded stack" if extra == "demo" else "Flower"):
                raise StackError(lacks)
        self.directory = Path(tempfile.gettempdir()) / f"lockstep-{os.getpid()}-{secrets.token_hex(4)}"
        """Everything of it is in here; removed at the end."""
        self._count, self._with_flower, self._first_port, self._seed = nodes, flower, first_port, seed
        self._publish, self._say = publish, say
        self._redis_url = redis_url
        self._given = dict(env or {})
        self._children: dict[Role, Child] = {}
        self._lock = threading.RLock()
        self._guard: Guard | None = None
        self._supervisor: Supervisor | None = None
        self._publication: Publication | None = None
        renew_in_children(self)

    def start_anew(self) -> None:
        """Own nothing in a forked child: what runs is its parent's."""
        if self._publication is not None:
            self._publication.leave()
        self._children, self._lock = {}, threading.RLock()
        self._guard = self._supervisor = self._publication = None

    @property
    def redis_url(self) -> str:
        """The Redis of this stack. Raises StackError before the start when it is to have its own."""
        return self._redis_url or self._child(Role.REDIS, RedisServer).url

    @property
    def nodes(self) -> dict[str, str]:
        """Node name -> base URL."""
        return dict(self._child(Role.CLUSTER, MockCluster).nodes)

    @property
    def admin_url(self) -> str:
        """The mock cluster's admin API."""
        return self._child(Role.CLUSTER, MockCluster).admin_url

    @property
    def flower_url(self) -> str | None:
        """Flower's page; None without Flower."""
        return self._child(Role.FLOWER, Flower).url if self._with_flower else None

    @property
    def inventory_path(self) -> Path:
        """The inventory that the workers have, for clients to use too."""
        return self.directory / "inventory.yaml"

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the workers by field name: `load_settings(**stack.settings)` reaches the stack."""
        env = self.env
        return {name.removeprefix(PREFIX).lower(): env[name] for name in env if name.startswith(PREFIX)}

    @property
    def env(self) -> dict[str, str]:
        """A complete environment in which a command or another worker belongs to this stack."""
        return self._environment() | {
            f"{PREFIX}REDIS_URL": self.redis_url,
            f"{PREFIX}INVENTORY": str(self.inventory_path),
        }

    def process(self, role: Role | str) -> Child:
        """Return the child with this role. Raises StackError for one that the stack does not have."""
        return self._child(Role(role), Child)

    def start(self) -> None:
        """Start every part and wait until all are ready. Raises StackError, with nothing left running."""
        try:
            with self._lock:
                self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop in reverse order, remove every file; nothing is left when it returns or raises.

        A start that another thread is in the middle of is waited for.
        """
        try:
            with self._lock:
                supervisor = self._supervisor
            if supervisor is not None:  # it looks with the lock
                supervisor.stop()
            with self._lock:
                # Those that only work end together, then the nodes they work on, last the Redis they need.
                for child in reversed(self._children.values()):
                    if child.name not in (Role.CLUSTER, Role.REDIS):
                        child.terminate()
                for child in reversed(self._children.values()):
                    child.stop()
        finally:
            self.end_at_once()

    def end_at_once(self) -> None:
        """Kill what still runs and remove every file. Takes no lock: it is for signal handlers too."""
        if self._guard is not None:
            self._guard.close()
        if (published := self._publication) is not None:
            published.withdraw()
            self._publication = None

    def kill(self, role: Role | str) -> None:
        """Kill a part with SIGKILL, as an accident would; supervision starts it again."""
        with self._lock:
            self.process(role).kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        remove, hold = [self.directory], []  # the guard knows what to remove before it exists
        if self._publish:
            published = self._publication = Publication()
            remove, hold = [*remove, published.path], [published.lock]
        guard = self._guard = Guard(remove, hold)
        self.directory.mkdir(mode=0o700)
        given: ChildOptions = {"guard": guard, "env": self._environment()}
        if self._redis_url is None:
            password = secrets.token_hex(16)
            self._children[Role.REDIS] = RedisServer(self.directory, password=password, **given)
        self._children[Role.CLUSTER] = MockCluster(
            self.directory, self._count, first_port=self._first_port, seed=self._seed, **given
        )
        self._start_those_that_wait()
        entries = [f"  - name: {name}\n    url: {url}\n" for name, url in self.nodes.items()]
        self.inventory_path.write_text("hosts:\n" + "".join(entries), "utf-8")
        given["env"] = self.env
        for role in (Role.OPERATIONS, Role.OPERATIONS_2, Role.ROLLBACK, Role.BEAT):
            self._children[role] = celery(role, self.directory, **given)
        if self._with_flower:
            self._children[Role.FLOWER] = Flower(self.directory, **given)
        self._start_those_that_wait()
        if self._publication is not None:
            self._publication.publish(RunningStack(os.getpid(), self.admin_url, self.settings))
        self._supervisor = Supervisor(self._children.values(), self._lock, self._say)
        self._supervisor.start()

    def _start_those_that_wait(self) -> None:
        waiting = [child for child in self._children.values() if not child.wanted]
        for child in waiting:
            child.launch()
        for child in waiting:
            child.start()

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        if "PYTHONPYCACHEPREFIX" not in env:
            # Nothing is left outside the environment, compiled modules in a work tree included.
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        return env | self._given

    def _child(self, role: Role, kind: type[C]) -> C:
        child = self._children.get(role)
        if not isinstance(child, kind):
            known = ", ".join(self._children) or "none, for it was not started"
            raise StackError(f"the stack has no {role}; it has {known}")
        return child
