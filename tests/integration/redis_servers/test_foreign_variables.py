"""Another application's variables are in the environment: Lockstep's settings count, and nothing else.

The list has every variable that Celery, kombu, redis-py, requests, libcurl, OpenSSL and Flower read by
themselves and that could change where something goes, what is trusted, or how a worker runs. FLOWER_
variables are Flower's own settings; docs/settings.md has the whole list.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
import requests

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.ports import free_port
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.operation.model import GroupId, OperationId
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually

NAMES = {
    "url": (
        "BROKER_URL", "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL",
        "RESULT_BACKEND", "CELERY_RESULT_BACKEND", "REDIS_URL", "CELERY_REDIS_HOST",
    ),
    "no_such_module": (
        "CONFIG_MODULE", "CELERY_CONFIG_MODULE", "DJANGO_SETTINGS_MODULE", "CELERY_CUSTOM_WORKER_POOL",
    ),
    "default": ("LOADER", "CELERY_LOADER"),
    "solo": ("CELERY_WORKER_POOL",),
    "1": (
        "CELERY_WORKER_CONCURRENCY", "CELERY_WORKER_MAX_TASKS_PER_CHILD", "CELERY_WORKER_PURGE",
        "CELERY_TASK_ALWAYS_EAGER", "CELERY_WORKER_SOFT_TIME_LIMIT", "CELERY_SKIP_CHECKS",
        "KOMBU_DISABLE_LIMIT_PROTECTION", "DISABLE_TRACEBACKS", "KOMBU_DEBUG_POOL", "NOSETPS", "MP_LOG",
        "USE_FAST_LOCALS", "TIMER_DEBUG", "FORKED_BY_MULTIPROCESSING", "C_STRICT_APP", "C_WARN_APP",
        "C_REMDEBUG", "C_FAKEFORK", "C_BENCH_EVERY", "CELERY_BENCH_EVERY", "CELERY_TRACE_APP",
        "C_FORCE_ROOT", "MULTIPROCESSING_FORKING_DISABLE", "EVENTLET_NOBLOCK", "TORNADO_NO_EXTENSION",
    ),
    "strangers": ("CELERY_WORKER_QUEUES", "CELERY_WORKER_HOSTNAME"),
    "http://127.0.0.1:1": (
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy",
    ),
    "/nowhere": (
        "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CURL_HOME", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "CELERY_LOG_FILE",
    ),
}  # fmt: skip
"""A value that would do harm -> the variables that get it."""


class Foreign(RedisServer):
    """The Redis of another application, which sees who comes."""

    def ready(self) -> bool:
        """Tell whether it serves; from then on each connection but this one is a stranger's."""
        if ready := super().ready():
            self.client = redis.Redis.from_url(self.url, single_connection_client=True)
            self.before = self.connections()
        return ready

    def connections(self) -> int:
        """How many there have been."""
        return int(self.client.info("stats")["total_connections_received"])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with Foreign(tmp_path_factory.mktemp("foreign")) as server, server.client:
        yield server


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, foreign: Foreign) -> Iterator[Bench]:
    """A bench whose processes have these variables, and import by themselves: the order matters."""
    directory = tmp_path_factory.mktemp("parts")
    with parts(directory) as found, pytest.MonkeyPatch.context() as patch:
        for value, names in NAMES.items():
            for name in names:
                patch.setenv(name, foreign.url if value == "url" else value)
        with closing(Bench(*found, directory / "bench")) as made:
            yield made


@pytest.fixture(scope="module")
def worker(bench: Bench) -> Child:
    """It and beat, with the same variables."""
    bench.beat()
    return bench.worker()


def lockstep(bench: Bench, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lockstep", *arguments],
        check=False,
        env={**bench.env, **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_no_variable_of_a_library_changes_anything(bench: Bench, worker: Child, foreign: Foreign) -> None:
    assert "concurrency: 8 (thread)" in worker.output()
    port = free_port(0)
    flower = ["-m", "lockstep.worker.monitoring.flower", "--address=127.0.0.1", f"--port={port}"]
    bench.child("flower", flower, {"FLOWER_UNAUTHENTICATED_API": "true"})

    ran = lockstep(bench, "create", "team-a", "--json")

    assert (ran.returncode, json.loads(ran.stdout)["state"], ran.stderr) == (0, "committed", "")
    assert bench.holding(GroupId("team-a")) == set(bench.cluster.nodes)
    eventually(lambda: healthy(bench), "doctor, whom a busy worker may answer too late, finds no failure")
    eventually(lambda: sees_a_worker(port), "Flower sees the worker")
    assert foreign.client.dbsize() == 0
    assert foreign.connections() == foreign.before
    assert "not used: CELERY_BENCH_EVERY, CELERY_BROKER_READ_URL, CELERY_BROKER_URL" in worker.output()


def healthy(bench: Bench) -> bool:
    """Tell whether doctor finds no failure."""
    findings = json.loads(lockstep(bench, "doctor", "--json").stdout)["findings"]
    return not [each for each in findings if each["level"] == "failure"]


def sees_a_worker(port: int) -> bool:
    """Tell whether Flower has heard of one."""
    with contextlib.suppress(requests.RequestException):
        session = requests.Session()
        session.trust_env = False
        return bool(session.get(f"http://127.0.0.1:{port}/api/workers", timeout=PATIENCE).json())
    return False


@pytest.mark.parametrize(("variable", "role"), [("C_BENCH", "worker"), ("CELERY_BENCH", "beat")])
def test_what_would_stop_workers_is_refused(variable: str, role: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "lockstep", role],
        check=False,
        env={**os.environ, variable: "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = f"lockstep: error: {variable} is set, with which Celery 5.7 stops taking tasks: unset it\n"
    assert (ran.returncode, ran.stderr) == (1, said)


def test_what_cannot_be_sent_is_accepted_and_sent_by_the_sweep(bench: Bench, worker: Child) -> None:
    variables = ("PICKLE_PROTOCOL", "C_WNOCONF", "AUTOSCALE_KEEPALIVE")
    for name in variables:
        given = {name: "no number", "C_IMPDEBUG": "1"}  # the second prints to stdout, and that is ours
        ran = lockstep(bench, "create", f"of-{name}", "--id", name, "--no-wait", **given)
        assert (ran.returncode, ran.stdout) == (0, f"{name}\n")
        said = ran.stderr.splitlines()
        assert said[-1] == f"accepted: create of-{name} (operation {name})"
        if len(said) > 1:
            assert said[0].startswith(
                f'lockstep: operation "{name}" is accepted, but its tasks could not be sent ('
            )
            assert "the sweep sends them within about" in said[0]
    assert worker.running
    for name in variables:
        eventually(lambda name=name: bench.read(OperationId(name)).ended, "the sweep has sent it")  # type: ignore[misc]
