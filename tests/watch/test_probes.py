"""What `python -m worker.telemetry.probe` says of real workers, and of dead and stuck ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.stack.child import Child
from producer.stack.guard import Guard
from producer.stack.redis_server import RedisServer
from tests.waiting import eventually
from worker.telemetry import heartbeat
from worker.telemetry.heartbeat import Heart
from worker.telemetry.signs import CLOCK, STALE, VARIABLE, Signs

ROOT = Path(__file__).parents[2]
WORKER = ["-m", "celery", "-A", "worker", "worker", "-Q", "operations", "-n", "probed@%h", "-l", "INFO"]


@pytest.fixture
def signs(tmp_path: Path) -> Signs:
    return Signs(str(tmp_path / "signs"))


def probe(question: str, directory: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker.telemetry.probe", question],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), VARIABLE: directory},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def says(question: str, signs: Signs) -> bool:
    return probe(question, signs.directory).returncode == 0


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
    request: pytest.FixtureRequest, redis: RedisServer, signs: Signs, tmp_path: Path
) -> Iterator[Child]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
    env = inherited | {
        "PYTHONPATH": str(ROOT),
        "LOCKSTEP_REDIS_URL": str(redis.url),
        "LOCKSTEP_HOSTS": "http://127.0.0.1:9",
        "LOCKSTEP_CONCURRENCY": "2",
        VARIABLE: signs.directory,
    }
    command = [sys.executable, *WORKER, "--without-gossip", "--without-mingle", "-P", request.param]
    with Child("worker", command, directory=tmp_path, env=env, grace=20) as child:
        yield child


def test_a_worker_is_live_and_ready_without_redis_too_and_leaves_no_file(
    worker: Child, redis: RedisServer, signs: Signs
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


def test_no_heartbeat_and_an_old_one_are_named(signs: Signs) -> None:
    missing = probe("live", signs.directory)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == f"not live: no heartbeat in {signs.live}: No such file or directory\n"
    Heart(signs).beat()
    assert says("live", signs)
    assert not says("ready", signs)
    for ago in (STALE + 5, -STALE - 60):
        then = time.clock_gettime(CLOCK) - ago
        os.utime(signs.live, (then, then))
        assert "s old" in probe("live", signs.directory).stderr


@pytest.mark.parametrize("jump", [-600.0, 600.0])
def test_a_wall_clock_that_jumps_makes_no_worker_look_dead(
    signs: Signs, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    Heart(signs).beat()
    then = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: then)
    assert signs.trouble("live") is None


def test_a_ready_file_without_a_heartbeat_is_not_ready(signs: Signs) -> None:
    heart = Heart(signs)
    heart.ready()
    assert not says("ready", signs)
    heart.beat()
    assert says("ready", signs)
    heart.stopping()
    assert "starting or stopping" in probe("ready", signs.directory).stderr


def test_signs_of_an_earlier_worker_are_removed_at_the_start(signs: Signs) -> None:
    first = Heart(signs)
    first.beat()
    first.ready()
    Heart(signs)
    assert not says("live", signs)
    assert list(Path(signs.directory).iterdir()) == []


def test_a_loop_that_stands_still_stops_the_heartbeat_and_a_lost_connection_does_not(
    signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    heart = Heart(signs)
    heart.looping()
    now += heartbeat.STUCK
    assert heart.beat()
    now += 1
    assert not heart.beat()
    heart.not_looping()
    assert heart.beat()


def test_a_probe_imports_no_more_than_it_must() -> None:
    code = "import sys; import worker.telemetry.probe; print(*sys.modules)"
    asked = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    # A hundredth of what a worker imports; with these alone a probe takes some 20 ms of CPU.
    assert len(asked.stdout.split()) < 60, asked.stdout


def test_an_unknown_question_is_answered_with_the_usage() -> None:
    asked = probe("alive", "")
    assert (asked.returncode, asked.stderr) == (2, "usage: python -m worker.telemetry.probe live|ready\n")
