"""What a worker process works with, built once per process from the application's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from celery import Celery

from worker.calling import Renewed
from worker.celery import Lockstep
from worker.clock import SystemClock
from worker.host import HostClient
from worker.inventory import Inventory, LiveInventory
from worker.operation.model import HostName
from worker.operation.ports import HostApi
from worker.settings import Settings
from worker.steps import Parts, PatrolStore
from worker.store.connection import connect
from worker.tasks.stopping import stopping
from worker.telemetry.calls import WatchedHost


@dataclass(frozen=True, slots=True)
class Runtime:
    """The store, the hosts and the clock of one worker process."""

    settings: Settings
    store: PatrolStore
    parts: Parts


def build_runtime(settings: Settings) -> Runtime:
    """Build the real parts; the inventory is read, nothing is connected."""
    return assemble(settings, connect(settings), real_hosts(settings, LiveInventory(settings)))


def real_hosts(
    settings: Settings, inventory: Inventory | LiveInventory
) -> Callable[[HostName], HostApi | None]:
    """Return a look-up of host clients by name, as the inventory has them at that moment."""
    clock = SystemClock()

    def find(name: HostName) -> HostApi | None:
        host = inventory.find(name)
        if host is None:
            return None
        api = WatchedHost(HostClient(host, settings, clock, stopping))
        return Renewed(api, host.token_file) if host.token_file else api

    return find


def assemble(settings: Settings, store: PatrolStore, hosts: Callable[[HostName], HostApi | None]) -> Runtime:
    """Put a store and hosts together with what the settings say."""
    parts = Parts(
        store=store,
        host=hosts,
        clock=SystemClock(),
        limits=settings.limits,
        forward_backoff=settings.forward_backoff,
        rollback_backoff=settings.rollback_backoff,
        retry_after_cap=settings.retry_after_cap,
    )
    return Runtime(settings, store, parts)


_built: dict[tuple[int, int], Runtime] = {}


def runtime_of(app: Celery) -> Runtime:
    """Return this process's runtime, building it at the first call after a start or a fork."""
    key = (os.getpid(), id(app))
    if key not in _built:
        application = cast(Lockstep, app)
        build = getattr(application, "build_runtime", build_runtime)
        _built[key] = build(application.settings)
    return _built[key]
