"""Lockstep for those who ask: the client, the handle of an operation, and the `lockstep` command.

    from producer import ClusterClient

    with ClusterClient() as cluster:
        result = cluster.create_group("team-a").wait()

Names are loaded when they are first used, so that the command starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer.client import ClusterClient
    from producer.errors import AbandonRefused, NotReady
    from producer.handle import Operation
    from producer.hosts import HostStanding
    from producer.planning import Plan
    from producer.results import HostResult, Result
    from worker.inventory import Inventory, load_inventory
    from worker.operation.errors import (
        CancelRefused,
        GroupBusy,
        HostPaused,
        HostUnavailable,
        InvalidInput,
        LockstepError,
        OperationIdReused,
        RecordGone,
        StoreFull,
        StoreUnavailable,
        UnknownFormat,
        UnknownOperation,
        WaitTimeout,
    )
    from worker.operation.host import Host
    from worker.operation.model import Action, Outcome, Presence, Step, Undo
    from worker.operation.model import Operation as Status
    from worker.operation.pause import Pause
    from worker.operation.states import State
    from worker.settings import Settings, load_settings

__all__ = [
    "AbandonRefused",
    "Action",
    "CancelRefused",
    "ClusterClient",
    "GroupBusy",
    "Host",
    "HostPaused",
    "HostResult",
    "HostStanding",
    "HostUnavailable",
    "InvalidInput",
    "Inventory",
    "LockstepError",
    "NotReady",
    "Operation",
    "OperationIdReused",
    "Outcome",
    "Pause",
    "Plan",
    "Presence",
    "RecordGone",
    "Result",
    "Settings",
    "State",
    "Status",
    "Step",
    "StoreFull",
    "StoreUnavailable",
    "Undo",
    "UnknownFormat",
    "UnknownOperation",
    "WaitTimeout",
    "load_inventory",
    "load_settings",
]

_HOMES = {
    "ClusterClient": "producer.client",
    "AbandonRefused": "producer.errors",
    "NotReady": "producer.errors",
    "Operation": "producer.handle",
    "HostStanding": "producer.hosts",
    "Plan": "producer.planning",
    "HostResult": "producer.results",
    "Result": "producer.results",
    "Host": "worker.operation.host",
    "Pause": "worker.operation.pause",
    "Inventory": "worker.inventory",
    "load_inventory": "worker.inventory",
    "Settings": "worker.settings",
    "load_settings": "worker.settings",
    "State": "worker.operation.states",
    **dict.fromkeys(("Action", "Outcome", "Presence", "Status", "Step", "Undo"), "worker.operation.model"),
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives; errors live in `worker.operation.errors`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOMES.get(name, "worker.operation.errors"))
    value: object = getattr(module, "Operation" if name == "Status" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be imported, loaded or not."""
    return sorted({*globals(), *__all__})
