"""A worker that counts, and what it says at its port."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import requests
from prometheus_client.parser import text_string_to_metric_families

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.ports import free_port
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE, eventually

WATCHING = Path(__file__).parents[2] / "watching"
LOOK = 0.2
"""Seconds between two: for each the worker adds up what all its processes count, and asks Redis."""
Labels: TypeAlias = tuple[tuple[str, str], ...]


class Counted:
    """A bench whose one worker is asked at a port."""

    def __init__(self, bench: Bench, pool: str) -> None:
        self.bench = bench
        self._pool = pool
        self.beat = bench.beat()
        self.temporary = bench.directory / "temporary"
        self.temporary.mkdir()
        port = free_port(0)
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.worker = self.start("worker", port)

    def start(self, name: str, port: int | None = None) -> Child:
        """Start a worker that counts, beside the others."""
        env = {
            "LOCKSTEP_METRICS_PORT": str(port or free_port(0)),
            "LOCKSTEP_HEARTBEAT_DIR": str(self.bench.directory / f"signs-{name}"),
            "TMPDIR": str(self.temporary),
        }
        return self.bench.worker(name, env=env, options=["-P", self._pool])

    def read(self) -> dict[tuple[str, Labels], float]:
        answer = requests.get(self.url, timeout=PATIENCE)
        assert answer.ok, f"{answer.text}\n{self.worker.output()[-4000:]}"
        families = text_string_to_metric_families(answer.text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.read().get((f"lockstep_{name}", tuple(sorted(labels.items()))), 0.0)

    def comes_to(self, value: float, name: str, **labels: str) -> None:
        """Wait for exactly this value: a task is counted a moment after what it did is in the record."""
        eventually(
            lambda: self.value(name, **labels) == value, f"{name} {labels} comes to {value}", latest=LOOK
        )

    def reaches(self, least: float, name: str, **labels: str) -> None:
        eventually(
            lambda: self.value(name, **labels) >= least, f"{name} {labels} reaches {least}", latest=LOOK
        )
