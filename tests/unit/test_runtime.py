"""What a worker process is built of: who is spared, and who looks after a token."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lockstep.worker.calling import Renewed, Spared
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.ports import HostApi
from lockstep.worker.settings import Settings
from lockstep.worker.steps import Parts
from lockstep.worker.tasks import runtime
from lockstep.worker.tasks.runtime import build_runtime
from lockstep.worker.telemetry.calls import WatchedHost

NODE1 = HostName("node1")


def built() -> Parts:
    return build_runtime(Settings(hosts="http://node1:1")).parts


def chain(api: HostApi | None) -> list[type]:
    """The kinds of the parts, from the outermost to the one that calls."""
    found: list[type] = []
    while api is not None:
        found.append(type(api))
        api = getattr(api, "host", None) if not isinstance(api, WatchedHost) else None
    return found


def test_only_forward_steps_spare_a_host() -> None:
    parts = built()
    assert parts.host_to_apply is not None
    assert chain(parts.host_to_apply(NODE1)) == [Spared, WatchedHost]
    assert chain(parts.host(NODE1)) == [WatchedHost]


def test_every_host_of_a_process_shares_one_breaker() -> None:
    parts = built()
    assert parts.host_to_apply is not None
    first, second = parts.host_to_apply(NODE1), parts.host_to_apply(NODE1)
    assert isinstance(first, Spared)
    assert isinstance(second, Spared)
    assert first.breaker is second.breaker


def test_a_token_is_looked_after_whoever_calls(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: [{name: node1, url: 'http://node1', token_file: /t}]")
    parts = build_runtime(Settings(inventory=str(inventory))).parts
    assert parts.host_to_apply is not None
    assert chain(parts.host(NODE1)) == [Renewed, WatchedHost]
    assert chain(parts.host_to_apply(NODE1)) == [Spared, Renewed, WatchedHost]


def test_a_host_that_nobody_knows_is_none() -> None:
    parts = built()
    assert parts.host_to_apply is not None
    assert parts.host(HostName("node9")) is None
    assert parts.host_to_apply(HostName("node9")) is None


def test_threads_that_begin_at_the_same_time_share_one_runtime() -> None:
    """Otherwise each would have a breaker of its own."""
    together = threading.Barrier(2, timeout=0.2)

    def build(_: object) -> object:
        try:
            together.wait()
        except threading.BrokenBarrierError:
            return "built alone"
        return "built twice"

    app: Any = SimpleNamespace(settings=None, build_runtime=build)
    with ThreadPoolExecutor(2) as pool:
        built_by_each: list[Any] = list(pool.map(runtime.Runtimes().of, [app, app]))
    assert built_by_each == ["built alone"] * 2
