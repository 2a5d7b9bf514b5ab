"""Everything over TLS, with a real server that speaks nothing else and asks for a certificate."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.discovery import StackError
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.worker.operation.model import State
from tests.integration.redis_servers.certificates import Authority
from tests.integration.redis_servers.servers import TlsServer
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE, eventually
from tests.warm import WarmCluster, run

WITHOUT = "no redis-server with TLS is installed; Debian's is, the packaged Valkey is not"


@dataclass(frozen=True, slots=True)
class Secured:
    """A bench on a server with TLS, and the authorities to reach that with."""

    bench: Bench
    server: TlsServer
    ours: Authority
    other: Authority


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A TLS server and a cluster, with a worker and beat that reach it over TLS."""
    if not shutil.which("redis-server") or not shutil.which("openssl"):
        pytest.skip(WITHOUT)
    directory = tmp_path_factory.mktemp("tls")
    ours, other = Authority(directory / "ours"), Authority(directory / "other")
    client = ours.sign("client", "DNS:client")
    with closing(Guard()) as guard:
        server = TlsServer(directory, ours, ours.sign("server", f"IP:{LOOPBACK}"), guard)
        try:
            server.start()
        except StackError as error:
            if "tls-port" in str(error):
                pytest.skip(WITHOUT)
            raise
        cluster = WarmCluster(directory, 3, guard=guard)
        cluster.start()
        files = {
            "redis_ca_file": str(ours.file),
            "redis_cert_file": str(client.certificate),
            "redis_key_file": str(client.key),
        }
        with closing(Bench(server, cluster, guard, directory / "bench", files)) as bench:
            bench.run_all()
            yield Secured(bench, server, ours, other)


def lockstep(bench: Bench, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run `lockstep create` with other settings than the bench's."""
    env = {**bench.env, **{f"LOCKSTEP_{name.upper()}": value for name, value in changed.items()}}
    return run("lockstep", "create", "stranger", "--timeout", "1", env=env)


def test_an_operation_is_created_followed_and_ended(secured: Secured) -> None:
    with ClusterClient(secured.bench.settings) as cluster:
        result = cluster.create_group("team-tls").wait(timeout=PATIENCE)
    assert result.state is State.COMMITTED
    assert secured.bench.holding(result.group) == set(secured.bench.cluster.nodes)


def test_asyncio_is_let_in_too(secured: Secured) -> None:
    with ClusterClient(secured.bench.settings) as cluster:
        operation = cluster.create_group("team-asyncio")
        assert asyncio.run(operation.wait_async(PATIENCE)).committed


def test_flower_reads_the_queues(secured: Secured) -> None:
    port = free_port()
    arguments = ["-m", "lockstep.worker.monitoring.flower", f"--address={LOOPBACK}", f"--port={port}"]
    secured.bench.child("flower", arguments, {"FLOWER_UNAUTHENTICATED_API": "true"})

    def queues() -> set[str]:
        try:
            with urllib.request.urlopen(
                f"http://{LOOPBACK}:{port}/api/queues/length", timeout=PATIENCE
            ) as answer:
                return {each["name"] for each in json.load(answer)["active_queues"]}
        except OSError:
            return set()

    eventually(lambda: queues() == {"operations", "rollback"}, "Flower knows the queues")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"redis_ca_file": "other"}, "CERTIFICATE_VERIFY_FAILED"),
        ({"redis_cert_file": "", "redis_key_file": ""}, "Redis does not answer"),
        (
            {"redis_ca_file": "", "redis_cert_file": "", "redis_key_file": "", "redis_url": "redis"},
            "Redis does not answer",
        ),
    ],
    ids=["an authority that did not sign it", "no certificate of one's own", "without TLS"],
)
def test_whoever_does_not_fit_is_told_in_one_line_and_writes_nothing(
    secured: Secured, changed: dict[str, str], said: str
) -> None:
    given = {
        "other": str(secured.other.file),
        "redis": secured.server.url.replace("rediss", "redis"),
    }
    ran = lockstep(secured.bench, **{name: given.get(value, value) for name, value in changed.items()})
    assert ran.returncode == 5, ran
    assert said in ran.stderr
    assert ran.stderr.startswith("lockstep: error: ")
    assert ran.stderr.count("\n") == 1
    with secured.server.client() as client:
        assert not list(client.scan_iter(match="*stranger*"))


def test_a_server_that_bears_another_name_is_refused(secured: Secured, tmp_path: Path) -> None:
    own = secured.ours.sign("elsewhere", "DNS:redis.elsewhere")
    server = TlsServer(tmp_path, secured.ours, own, secured.bench.guard)
    server.start()
    try:
        ran = lockstep(secured.bench, redis_url=server.url)
        assert ran.returncode == 5
        assert "IP address mismatch" in ran.stderr
        with server.client() as client:
            assert client.dbsize() == 0
    finally:
        server.stop()
