"""The embedded stack: it works, it mends itself, and it leaves nothing behind.

The stacks of this process fork their parts from a warm one, and so do commands that are asked to; the others
are as anybody's.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import requests

from lockstep.mock_api.admin import ClusterAdmin
from lockstep.producer.client.client import ClusterClient
from lockstep.producer.discovery import FORMAT, Publication, RunningStack, discover, discovery_file
from lockstep.producer.stack import AlreadyRunning, Role, StackError
from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.model import State
from lockstep.worker.settings import load_settings
from tests.integration.stacks import Stack
from tests.leftovers import Pen
from tests.waits import PATIENCE, eventually
from tests.warm import ROOT, warming


class Told(list[str]):
    """What the stack said."""


@pytest.fixture(scope="module", autouse=True)
def warm() -> Iterator[None]:
    with warming():
        yield


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def stack(told: Told) -> Iterator[Stack]:
    with Stack(nodes=2, flower=True, env={"LOCKSTEP_SETTLE_SECONDS": "11"}, say=told.append) as started:
        yield started


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own, where no other stack announces itself."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    return tmp_path / "prefix"


def test_every_address_answers(stack: Stack) -> None:
    with redis.Redis.from_url(stack.redis_url) as client:
        assert client.ping()
        assert client.config_get("append*")["appendfsync"] == "always"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert list(stack.nodes) == ["node1", "node2"]
    for url in stack.nodes.values():
        assert requests.get(f"{url}/v1/group/nobody/", timeout=PATIENCE).status_code == 404
        assert requests.get(f"{url}/docs", timeout=PATIENCE).ok
    assert requests.get(f"{stack.admin_url}/health", timeout=PATIENCE).json() == {"ready": True}
    assert stack.flower_url is not None
    assert requests.get(stack.flower_url, timeout=PATIENCE).ok


def test_settings_of_a_stack_reach_it(stack: Stack) -> None:
    settings = load_settings(**stack.settings)
    assert settings.settle_seconds == 11
    assert {host.name: host.url for host in load_inventory(settings)} == stack.nodes
    with ClusterClient(settings) as client:
        assert client.create_group("team-s").wait(timeout=PATIENCE).state is State.COMMITTED
    for url in stack.nodes.values():
        assert requests.get(f"{url}/v1/group/team-s/", timeout=PATIENCE).json() == {"groupId": "team-s"}


@pytest.mark.parametrize("role", list(Role))
def test_a_part_that_is_killed_starts_again_where_it_was(stack: Stack, told: Told, role: Role) -> None:
    with redis.Redis.from_url(stack.redis_url) as client:
        client.set(f"kept-{role}", "yes")
    nodes, flower = stack.nodes, stack.flower_url
    killed = stack.process(role).pid
    stack.kill(role)
    eventually(lambda: stack.process(role).pid != killed, f"another {role}")
    stack.wait_running(role)
    assert any(line.startswith(f"{role} was killed by SIGKILL") for line in told), told
    assert (stack.nodes, stack.flower_url) == (nodes, flower)
    with redis.Redis.from_url(stack.redis_url) as client:
        assert client.get(f"kept-{role}") == b"yes"


def test_no_worker_ends_when_redis_does_in_the_middle_of_a_task(stack: Stack, told: Told) -> None:
    admin = ClusterAdmin(stack.admin_url)
    admin.set_latency(500)
    redis_before = stack.process(Role.REDIS).pid
    workers = (Role.OPERATIONS, Role.OPERATIONS_2, Role.ROLLBACK)
    before = {role: stack.process(role).pid for role in workers}

    def connected(role: Role) -> int:
        return stack.process(role).output().count("Connected to redis")

    connected_before = {role: connected(role) for role in workers}

    with ClusterClient(load_settings(**stack.settings)) as client:
        operation = client.create_group("team-w")
        eventually(lambda: admin.history(group="team-w"), "a call under way")
        stack.kill(Role.REDIS)
        eventually(lambda: stack.process(Role.REDIS).pid != redis_before, "another Redis")
        assert operation.wait(timeout=PATIENCE).state is State.COMMITTED
    admin.set_latency(None)
    for role in workers:
        eventually(
            lambda role=role: (  # type: ignore[misc]
                connected(role) > connected_before[role] or stack.process(role).pid != before[role]
            ),
            f"{role} works again",
        )
    assert {role: stack.process(role).pid for role in before} == before, told


def test_without_supervision_a_part_stays_dead_until_it_is_restarted() -> None:
    with Stack(nodes=1, restart=False) as bare:
        bare.kill(Role.BEAT)
        with pytest.raises(StackError, match="beat was killed by SIGKILL and is not ready within"):
            bare.wait_running(Role.BEAT, timeout=1)
        bare.restart(Role.BEAT)
        bare.wait_running(Role.BEAT)
        with pytest.raises(StackError, match="has no flower; it has redis, cluster, operations"):
            bare.process(Role.FLOWER)


def test_a_part_that_cannot_start_says_why_and_takes_the_others_along() -> None:
    wrong = Stack(nodes=1, env={"LOCKSTEP_READ_TIMEOUT": "soon"})
    with pytest.raises(StackError, match=r"(?s)ended with status .* LOCKSTEP_READ_TIMEOUT"):
        wrong.start()
    assert not wrong.directory.exists()
    assert not wrong.process(Role.REDIS).running


@contextmanager
def running_command(pen: Pen, prefix: Path, warm: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run the command as in an environment of its own."""
    forking = f"sys.path.append({str(ROOT)!r})\nfrom tests.warm import warming\nwith warming(): exit(main())"
    code = (
        f"import sys\nsys.prefix = {str(prefix)!r}\nfrom lockstep.producer.stack.__main__ import main\n"
        f"{forking if warm else 'exit(main())'}"
    )
    command = [sys.executable, "-c", code, "--no-flower", "--nodes", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=pen.work, env=pen.environment(), stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def published(process: subprocess.Popen[str]) -> None:
    """Wait until the stack tells where it is."""
    eventually(lambda: discover() or process.poll() is not None, "the discovery file")
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_process_and_no_file(tmp_path: Path, prefix: Path, number: signal.Signals) -> None:
    pen = Pen.under(tmp_path)
    with running_command(pen, prefix, warm=number is signal.SIGINT) as process:
        published(process)
        # Itself, its guard, Redis, the cluster, three workers and beat; and its directory.
        assert len(pen.left()) == 9
        assert process.stdout is not None
        # The file comes before the words: a signal in between would find them unsaid.
        assert any("Lockstep is up." in line for line in process.stdout)
        process.send_signal(number)
        _, complaints = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complaints) == (0, "")
    assert pen.left() == []
    assert not discovery_file().exists()


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path, prefix: Path) -> None:
    pen = Pen.under(tmp_path)
    with running_command(pen, prefix) as process:
        # Python tries the place out with a file.
        eventually(lambda: any(path.is_dir() for path in pen.temporary.iterdir()), "the directory")
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complaints) == (0, "")
    assert pen.left() == []
    assert not discovery_file().exists()


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, prefix: Path) -> None:
    pen = Pen.under(tmp_path)
    with running_command(pen, prefix, warm=True) as process:
        published(process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, 143)
    assert pen.left() == []
    assert not discovery_file().exists()


def test_kill_9_leaves_nothing_either(tmp_path: Path, prefix: Path) -> None:
    pen = Pen.under(tmp_path)
    with running_command(pen, prefix) as process:
        published(process)
        process.kill()
        process.wait()
        eventually(lambda: pen.left() == [], "the end of everything it had started")
    eventually(lambda: not discovery_file().exists(), "the end of the discovery file")


def test_a_second_stack_is_refused_in_one_line(tmp_path: Path, prefix: Path) -> None:
    first = Publication()
    first.publish(described(pid=4711))
    pen = Pen.under(tmp_path)
    with running_command(pen, prefix) as process:
        _, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert complaints.startswith("error: a stack already runs from this environment (process 4711);")
    assert complaints.count("\n") == 1
    first.withdraw()
    assert discover() is None


@pytest.mark.usefixtures("prefix")
def test_the_discovery_file_is_for_its_owner_alone() -> None:
    """The URL in it has the password of Redis."""
    before = os.umask(0)
    first = Publication()
    try:
        first.publish(described(pid=4711))
        assert stat.S_IMODE(discovery_file().stat().st_mode) == 0o600
    finally:
        first.withdraw()
        os.umask(before)


def test_the_redis_of_a_stack_has_a_password_that_no_command_line_shows(stack: Stack) -> None:
    password = urlsplit(stack.redis_url).password
    assert password
    with (
        redis.Redis(port=urlsplit(stack.redis_url).port or 0) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert password not in shown
    assert not any(password in word for role in Role for word in stack.process(role).command)


@pytest.mark.usefixtures("prefix")
def test_a_discovery_file_counts_only_while_its_stack_lives() -> None:
    stale = described(pid=4711)
    assert discover() is None
    first = Publication()
    first.publish(stale)
    assert discover() == stale
    with pytest.raises(AlreadyRunning, match="process 4711"):
        Publication()
    first.withdraw()
    discovery_file().write_text(json.dumps({"format": FORMAT, "pid": 4711}), "utf-8")
    assert discover() is None
    second = Publication()
    assert not discovery_file().exists()
    discovery_file().write_text(json.dumps({"format": FORMAT + 1}), "utf-8")
    assert discover() is None
    second.withdraw()


def described(pid: int) -> RunningStack:
    settings = {"redis_url": "redis://127.0.0.1:1/0", "inventory": "/nowhere"}
    return RunningStack(pid, "http://127.0.0.1:2", settings)
