"""What Flower knows outlives it, when it is given a path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from producer.client import ClusterClient
from producer.stack.child import Child, free_port
from tests.leftovers import until
from tests.watch.conftest import Watched
from worker.settings import load_settings


@contextmanager
def another_flower(watched: Watched, directory: Path) -> Iterator[str]:
    port = free_port()
    env = {**watched.stack.env, "FLOWER_DB": str(directory / "flower")}
    command = [sys.executable, "-m", "worker.telemetry.flower", "--address=127.0.0.1", f"--port={port}"]
    with Child("flower", command, directory=directory, env=env) as child:
        until(lambda: answers(f"http://127.0.0.1:{port}"), "Flower answers")
        yield f"http://127.0.0.1:{port}"
        child.stop()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthcheck", timeout=10).ok
    except requests.ConnectionError:
        return False


def heard_of(url: str, operation: str) -> bool:
    return operation in requests.get(f"{url}/api/tasks", timeout=10).text


def test_flower_shows_after_a_restart_what_it_showed_before(watched: Watched, tmp_path: Path) -> None:
    with another_flower(watched, tmp_path) as url:
        with ClusterClient(load_settings(**watched.stack.settings)) as client:
            operation = client.create_group("team-m")
            operation.wait(timeout=60)
        until(lambda: heard_of(url, operation.id), "Flower has heard of it")
    with another_flower(watched, tmp_path) as url:
        assert heard_of(url, operation.id)
        assert not heard_of(url, watched.committed), "it ended before the first of the two was started"
