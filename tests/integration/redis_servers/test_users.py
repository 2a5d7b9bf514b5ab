"""The users of docs/redis-users.acl: each role can do its work, and not what is another's."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from redis.exceptions import ResponseError

from lockstep.producer.client import ClusterClient
from lockstep.producer.stack.child import LOOPBACK, free_port
from lockstep.producer.stack.cluster import MockCluster
from lockstep.producer.stack.guard import Guard
from lockstep.worker.operation.states import State
from tests.integration.redis_servers.servers import Guarded
from tests.integration.worker.harness import ROOT, Bench
from tests.waiting import eventually

ALL = ("worker", "producer", "monitor")
QUEUE = "lockstep:celery:operations"
DENIED = r"(?i)no permissions|^the user executing the script can't"
"""The second is what Redis 7.0 says of a command in a script."""
OURS = (
    "user admin on >ADMIN-PASSWORD ~* &* +@all\n"
    "user lockstep-narrow on >NARROW-PASSWORD ~lockstep:* &lockstep:* +@all -@write\n"
)
"""The second may run scripts, and nothing that they do."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with these users and none besides, but those of this test."""
    directory = tmp_path_factory.mktemp("users")
    file = directory / "users.acl"
    file.write_text((ROOT / "docs" / "redis-users.acl").read_text() + OURS)
    with Guarded(directory, file) as running:
        yield running


@pytest.fixture(scope="module")
def served(server: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench that is the producer, with a worker and beat that are the worker."""
    directory = tmp_path_factory.mktemp("served")
    with closing(Guard()) as guard:
        cluster = MockCluster(directory, 3, guard=guard)
        cluster.start()
        given = {"redis_url": server.as_user("producer"), "key_prefix": "lockstep:", "patrol_every": "1"}
        with closing(Bench(server, cluster, guard, directory / "bench", given)) as bench:
            worker = {"LOCKSTEP_REDIS_URL": server.as_user("worker")}
            bench.child(
                "beat", ["-m", "celery", "-A", "lockstep", "beat", "-s", str(directory / "beat")], worker
            )
            bench.worker(env=worker)
            yield bench


@pytest.fixture
def nothing_is_denied(server: Guarded) -> Iterator[None]:
    """Hold what roles do to what they may: what is denied to them may be something that is only tried."""
    yield
    with server.client("admin") as admin:
        denied = {(entry["username"], entry["object"]) for entry in admin.acl_log()}
    assert denied <= {("lockstep-producer", "config|get")}  # doctor says what it could not read


def lockstep(bench: Bench, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**bench.env, "LOCKSTEP_REDIS_URL": url}
    command = [sys.executable, "-m", "lockstep", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.usefixtures("nothing_is_denied")
def test_operations_are_made_worked_on_and_cancelled(served: Bench) -> None:
    with ClusterClient(served.settings) as cluster:
        assert cluster.create_group("team-a").wait(timeout=60).state is State.COMMITTED
        assert cluster.delete_group("team-a").wait(timeout=60).state is State.COMMITTED
        served.admin.down("node2")
        undone = cluster.create_group("team-b")
        undone.cancel()
        served.admin.up("node2")
        assert undone.wait_end(timeout=60).state is State.ROLLED_BACK


@pytest.mark.usefixtures("nothing_is_denied")
def test_the_producer_can_look_for_what_is_wrong(served: Bench, server: Guarded) -> None:
    ran = lockstep(served, server.as_user("producer"), "doctor", "--json")
    found = json.loads(ran.stdout)["findings"]
    wrong = [each["text"] for each in found if each["level"] != "ok"]
    assert wrong == ["appendfsync cannot be read: CONFIG GET is refused"]


@pytest.mark.usefixtures("nothing_is_denied")
def test_the_monitor_sees_everything(served: Bench, server: Guarded) -> None:
    url = server.as_user("monitor")
    port = free_port()
    arguments = ["-m", "lockstep.worker.telemetry.flower", f"--address={LOOPBACK}", f"--port={port}"]
    open_to_all = {"FLOWER_UNAUTHENTICATED_API": "true", "LOCKSTEP_REDIS_URL": url}
    flower = served.child("flower", arguments, open_to_all)

    def asked(path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/api/{path}", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    eventually(lambda: '"rollback"' in asked("queues/length"), "Flower knows the queues")
    eventually(lambda: "active_queues" in asked("workers?refresh=1"), "Flower has asked the workers")
    with ClusterClient(served.settings) as cluster:
        cluster.create_group("team-seen").wait(timeout=60)
    eventually(lambda: "team-seen" in asked("tasks"), "Flower hears of tasks")
    assert "team-seen" in lockstep(served, url, "list").stdout
    assert flower.running


@pytest.mark.parametrize(
    ("roles", "command"),
    [
        (ALL, "FLUSHALL"),
        (ALL, "FLUSHDB"),
        (ALL, "KEYS *"),
        (ALL, "CONFIG SET appendfsync no"),
        (ALL, "CONFIG GET requirepass"),
        (ALL, "SHUTDOWN NOSAVE"),
        (ALL, "REPLICAOF NO ONE"),
        (ALL, "ACL SETUSER x on nopass ~* +@all"),
        (ALL, "SCRIPT FLUSH"),
        (ALL, "CLIENT KILL TYPE normal"),
        (ALL, "MONITOR"),
        (ALL, "GET elsewhere"),
        (ALL, "SET elsewhere 1"),
        (ALL, "SUBSCRIBE elsewhere"),
        (ALL, 'EVAL \'return redis.call("SET","elsewhere",1)\' 0'),
        (("producer", "monitor"), f"BRPOP {QUEUE} 1"),
        (("producer", "monitor"), f"RPOP {QUEUE}"),
        (("producer", "monitor"), f"DEL {QUEUE}"),
        (("producer", "monitor"), "HDEL lockstep:celery:unacked x"),
        (("monitor",), f"LPUSH {QUEUE} x"),
        (("monitor",), "DEL lockstep:lock:team-a"),
        (("monitor",), "HSET lockstep:op:x state committed"),
        (("monitor",), 'EVAL \'return redis.call("DEL","lockstep:lock:team-a")\' 0'),
        (("monitor",), "EVAL 'return redis.call(\"DEL\",KEYS[1])' 1 lockstep:celery:operations"),
    ],
)
def test_what_is_refused(server: Guarded, roles: tuple[str, ...], command: str) -> None:
    for role in roles:
        with server.client(role) as client, pytest.raises(ResponseError, match=DENIED):
            client.execute_command(*shlex.split(command))
    with server.client("admin") as admin:
        admin.acl_log_reset()


def test_without_a_name_nobody_is_let_in(server: Guarded) -> None:
    with redis.Redis.from_url(server.url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("role", ["monitor", "narrow"])
def test_who_may_not_is_told_in_one_line(served: Bench, server: Guarded, role: str) -> None:
    ran = lockstep(served, server.as_user(role), "create", "team-denied")
    assert ran.returncode == 5, ran
    assert ran.stderr.startswith("lockstep: error: Redis does not permit this user ")
    assert ran.stderr.count("\n") == 1
    with server.client("admin") as admin:
        assert not list(admin.scan_iter(match="*team-denied*"))
        admin.acl_log_reset()
