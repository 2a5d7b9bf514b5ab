"""What `python -m lockstep.worker.monitoring.probe` says of real workers, and of dead and stuck ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.monitoring.probe import VARIABLE, HealthFiles
from tests.waits import PATIENCE, eventually
from tests.warm import Warm

ROOT = Path(__file__).parents[2]
WORKER = ["-m", "celery", "-A", "lockstep", "worker", "-Q", "operations", "-n", "probed@%h", "-l", "INFO"]


@pytest.fixture
def signs(tmp_path: Path) -> HealthFiles:
    return HealthFiles(str(tmp_path / "signs"))


def probe(question: str, directory: str, *of: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lockstep.worker.monitoring.probe", question, *of],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), VARIABLE: directory},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def says(question: str, signs: HealthFiles, *of: str) -> bool:
    return probe(question, signs.directory, *of).returncode == 0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    guard = Guard()
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis", guard=guard)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        guard.close()


@pytest.fixture(params=["threads", "prefork"])
def worker(
    request: pytest.FixtureRequest, redis: RedisServer, signs: HealthFiles, tmp_path: Path
) -> Iterator[Warm]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
    env = inherited | {
        "PYTHONPATH": str(ROOT),
        "LOCKSTEP_REDIS_URL": str(redis.url),
        "LOCKSTEP_HOSTS": "http://127.0.0.1:9",
        "LOCKSTEP_CONCURRENCY": "2",
        VARIABLE: signs.directory,
    }
    command = [sys.executable, *WORKER, "--without-gossip", "--without-mingle", "-P", request.param]
    with Warm("worker", command, directory=tmp_path, env=env, grace=20) as child:
        yield child


def test_a_worker_is_live_and_ready_without_redis_too_and_leaves_no_file(
    worker: Warm, redis: RedisServer, signs: HealthFiles
) -> None:
    eventually(lambda: says("ready", signs), "the worker is ready")
    assert says("live", signs)
    redis.kill()
    beaten = Path(signs.live).stat().st_mtime
    eventually(lambda: Path(signs.live).stat().st_mtime > beaten, "it beats while Redis is away")
    assert says("live", signs)
    os.kill(worker.pid, signal.SIGTERM)
    eventually(lambda: not Path(signs.ready).exists(), "a worker that stops is not ready")
    eventually(lambda: not worker.running, "the worker has ended")
    assert list(Path(signs.directory).iterdir()) == []


def test_beat_is_ready_once_it_has_reached_redis_and_a_dead_one_is_not_live(
    redis: RedisServer, signs: HealthFiles, tmp_path: Path
) -> None:
    shown = HealthFiles(signs.directory, "beat")
    env = {**os.environ, "LOCKSTEP_REDIS_URL": str(redis.url), "PYTHONPATH": str(ROOT)}
    env[VARIABLE] = signs.directory
    command = [sys.executable, "-m", "celery", "-A", "lockstep", "beat"]
    redis.kill()
    with Child("beat", command, directory=tmp_path, env=env) as beat:
        eventually(lambda: shown.trouble("live") is None, "beat lives without Redis")
        assert "starting or stopping" in (shown.trouble("ready") or "")
        redis.start()
        eventually(lambda: says("ready", signs, "beat"), "beat is ready")
        assert says("live", signs, "beat")
        os.kill(beat.pid, signal.SIGKILL)
        eventually(lambda: not beat.running, "beat is dead")
        assert "is that of a process that is gone" in probe("live", signs.directory, "beat").stderr


def test_a_worker_with_an_unsafe_heartbeat_directory_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "signs").mkdir()
    (tmp_path / "signs").chmod(0o777)
    env = {**os.environ, VARIABLE: str(tmp_path / "signs"), "LOCKSTEP_REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "celery", "-A", "lockstep", "worker", "-Q", "operations"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "may be written to by others" in ran.stderr
