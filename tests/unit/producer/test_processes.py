"""How the processes of a stack are described, and in which order they start: none of them runs here."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.discovery import StackError
from lockstep.producer.stack import Role, processes
from lockstep.producer.stack import stack as module
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.processes import Flower, MockCluster, RedisServer, celery
from lockstep.producer.stack.stack import Stack

GUARD: Any = SimpleNamespace(launch=None)
WORKER = ["-m", "celery", "-A", "lockstep"]


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Ports that are taken: any other that is asked for is given, else 9001, 9002 and so on."""
    taken: set[int] = set()
    free = iter(range(9001, 9100))
    monkeypatch.setattr(
        processes, "free_port", lambda port=0: port if port and port not in taken else next(free)
    )
    return taken


@pytest.mark.parametrize(
    ("first", "taken", "nodes", "found"),
    [
        (0, (), 2, [9001, 9002, 9003]),
        (5001, (), 2, [5001, 5002, 5003]),
        (5001, (5003,), 2, [9002, 9003, 9004]),
        (5001, (), None, [5001, 5002, 5003, 5004, 5005, 5006]),
    ],
)
def test_a_cluster_listens_on_ports_in_a_row_the_admin_last(
    ports: set[int], first: int, taken: tuple[int, ...], nodes: int | None, found: list[int], tmp_path: Path
) -> None:
    ports.update(taken)
    many: dict[str, Any] = {} if nodes is None else {"nodes": nodes}
    cluster = MockCluster(tmp_path, first_port=first, guard=GUARD, env={}, **many)
    urls = [f"http://127.0.0.1:{port}" for port in found]
    assert cluster.nodes == {f"node{number}": url for number, url in enumerate(urls[:-1], 1)}
    assert cluster.admin_url == urls[-1]
    listens = ["--ports", ",".join(map(str, found[:-1])), "--admin-port", str(found[-1])]
    assert cluster.command == [sys.executable, "-m", "lockstep.mock_api", *listens, "--seed", "0"]


@pytest.mark.parametrize(
    ("role", "command"),
    [
        (Role.BEAT, ["beat"]),
        (Role.OPERATIONS, ["worker", "-Q", "operations", "-n", "operations@%h"]),
        (Role.OPERATIONS_2, ["worker", "-Q", "operations", "-n", "operations-2@%h"]),
        (Role.ROLLBACK, ["worker", "-Q", "rollback", "-n", "rollback@%h"]),
    ],
)
def test_a_worker_serves_the_queue_of_its_role_under_a_name_of_its_own(
    role: Role, command: list[str], tmp_path: Path
) -> None:
    child = celery(role, tmp_path, guard=GUARD, env={"A": "b"})
    quick = [] if role is Role.BEAT else ["--without-gossip", "--without-mingle"]
    assert child.command == [sys.executable, *WORKER, *command, *quick, "--loglevel", "INFO"]
    assert child._env == {"A": "b", "LOCKSTEP_HEARTBEAT_DIR": str(tmp_path / f"{role}.heartbeat")}
    assert child.name == role


def test_a_redis_lets_those_in_alone_who_know_its_password(
    ports: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "find_server", lambda: Path("/bin/redis"))
    open_, closed = (
        RedisServer(tmp_path, password=password, options=["--io-threads", "1"], guard=GUARD, env={})
        for password in ("", "secret")
    )
    assert (open_.url, closed.url) == ("redis://127.0.0.1:9001/0", "redis://:secret@127.0.0.1:9002/0")
    file = tmp_path / "redis.conf"
    assert (closed.command[1], file.read_text()) == (str(file), "requirepass secret\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [open_.command[0], *open_.command[-2:]] == ["/bin/redis", "--io-threads", "1"]
    told = dict(zip(open_.command[1:-2:2], open_.command[2:-2:2], strict=True))
    assert {"--appendonly": "yes", "--appendfsync": "always", "--port": "9001"}.items() <= told.items()
    RedisServer(tmp_path, password="other", guard=GUARD, env={})
    assert file.read_text() == "requirepass secret\n", "what is there stays"


@pytest.mark.parametrize(
    ("port", "said", "tries"), [(0, "in use", 3), (0, "no memory", 1), (7777, "in use", 1)]
)
def test_another_port_is_tried_twice_if_its_own_is_in_use_and_nobody_knows_it(
    port: int, said: str, tries: int, ports: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def start(child: RedisServer, timeout: float) -> None:
        tried.append(child.port)
        assert str(child.port) in child.command
        raise StackError(said)

    monkeypatch.setattr(Child, "start", start)
    monkeypatch.setattr(Child, "output", lambda _: said)
    server = RedisServer(tmp_path, port, guard=GUARD, env={})
    with pytest.raises(StackError, match=said):
        server.start()
    assert tried == [port or 9001, 9002, 9003][:tries]


def test_a_server_is_taken_from_the_package_or_from_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"valkey-server": "/bin/valkey", "redis-server": "/bin/redis"}
    packaged: list[Path | None] = [Path("/packaged")]
    monkeypatch.setattr(processes, "packaged_server", lambda: packaged[0])
    monkeypatch.setattr(processes.shutil, "which", there.get)  # type: ignore[attr-defined]
    assert processes.find_server() == Path("/packaged")
    packaged[0] = None
    assert processes.find_server() == Path("/bin/valkey")
    del there["valkey-server"]
    assert processes.find_server() == Path("/bin/redis")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is done to the parts of a stack that starts, in order."""
    done: list[str] = []
    for what in ("launch", "start", "stop", "terminate"):

        def note(child: Child, what: str = what) -> None:
            child.wanted = what in ("launch", "start")
            done.append(f"{what} {child.name}")

        monkeypatch.setattr(Child, what, note)
    monkeypatch.setattr(RedisServer, "start", Child.start)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(
        module, "Guard", lambda remove, hold: SimpleNamespace(close=lambda: done.append("close"))
    )
    watching = SimpleNamespace(start=lambda: done.append("watch"), stop=lambda: done.append("watch no more"))
    monkeypatch.setattr(module, "Supervisor", lambda children, lock, say: watching)
    for name in [name for name in os.environ if name.startswith("LOCKSTEP_")]:
        monkeypatch.delenv(name)
    return done


WORKERS = ["operations", "operations-2", "rollback", "beat"]


def both(names: list[str]) -> list[str]:
    return [f"{what} {name}" for what in ("launch", "start") for name in names]


@pytest.mark.parametrize(
    ("redis_url", "flower", "first", "then"),
    [
        (None, False, ["redis", "cluster"], WORKERS),
        (None, True, ["redis", "cluster"], [*WORKERS, "flower"]),
        ("redis://there", False, ["cluster"], WORKERS),
    ],
)
def test_workers_start_once_what_they_need_is_ready_and_end_before_it(
    started: list[str], redis_url: str | None, flower: bool, first: list[str], then: list[str]
) -> None:
    with Stack(redis_url=redis_url, flower=flower, env={"LOCKSTEP_DEADLINE": "60"}) as stack:
        assert started == [*both(first), *both(then), "watch"]
        started.clear()
        assert stat.S_IMODE(stack.directory.stat().st_mode) == 0o700
        assert list(stack.nodes) == [f"node{number}" for number in range(1, 6)]
        hosts = [f"  - name: {name}\n    url: {url}\n" for name, url in stack.nodes.items()]
        assert stack.inventory_path.read_text() == "hosts:\n" + "".join(hosts)
        url = redis_url or stack.redis_url
        assert stack.settings == {
            "redis_url": url,
            "inventory": str(stack.directory / "inventory.yaml"),
            "deadline": "60",
        }
        assert stack.process("cluster").command[-2:] == ["--seed", "0"]
        assert stack._publication is None, "nobody else is to find it"
        worker = stack.process("rollback")
        assert {"LOCKSTEP_REDIS_URL": url, "LOCKSTEP_DEADLINE": "60"}.items() <= worker._env.items()
        assert bool(stack.flower_url) is flower
        if redis_url is None:
            assert len(url.partition("@")[0].rpartition(":")[2]) == 32, "a password that nobody guesses"
        else:
            with pytest.raises(StackError, match="the stack has no redis; it has cluster, operations, oper"):
                stack.process(Role.REDIS)
    back = [*reversed(then), *reversed(first)]
    ended = [f"terminate {name}" for name in reversed(then)] + [f"stop {name}" for name in back]
    assert started == ["watch no more", *ended, "close"]


def test_processes_see_no_variable_of_ours_that_the_stack_was_not_given(
    started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_HOSTS", "http://elsewhere")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    plain = Stack()._environment()
    assert "LOCKSTEP_HOSTS" not in plain
    assert (plain["PATH"], plain["PYTHONDONTWRITEBYTECODE"]) == (os.environ["PATH"], "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/cache")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    assert "PYTHONDONTWRITEBYTECODE" not in Stack()._environment()
    with pytest.raises(StackError, match="the stack has no cluster; it has none, for it was not started"):
        _ = Stack().nodes


def test_a_stack_lacks_an_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for lacking, flower, said in (("demo", False, "the embedded stack"), ("flower", True, "Flower")):

        def complaint(extra: str, who: str, lacking: str = lacking) -> str:
            return f"{who} needs {extra}" if extra == lacking else ""

        monkeypatch.setattr(module, "complaint", complaint)
        with pytest.raises(StackError, match=f"^{said} needs {lacking}$"):
            Stack(flower=flower)
    Stack()


def test_flower_is_reached_where_it_listens(ports: set[int], tmp_path: Path) -> None:
    usual = Flower(tmp_path, guard=GUARD, env={})
    ports.add(5555)
    moved = Flower(tmp_path, guard=GUARD, env={})
    assert (usual.url, moved.url) == ("http://127.0.0.1:5555", "http://127.0.0.1:9001")
    assert moved.command[-2:] == ["--address=127.0.0.1", "--port=9001"]
