"""All hosts or none: the client, the handle of an operation, and errors.

    from lockstep import ClusterClient

    with ClusterClient() as cluster:
        result = cluster.create_group("team-a").wait()

Names are loaded when they are first used, so that the command starts quickly.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # what `typing` says; to import it would take a probe of liveness as long as all the rest
)

if TYPE_CHECKING:
    from lockstep.producer.client import ClusterClient
    from lockstep.producer.errors import AbandonRefused, NotReady
    from lockstep.producer.handle import Operation
    from lockstep.producer.hosts import HostStanding
    from lockstep.producer.planning import Plan
    from lockstep.producer.results import HostResult, Result
    from lockstep.worker.inventory import Inventory, load_inventory
    from lockstep.worker.operation.errors import (
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
    from lockstep.worker.operation.host import Host
    from lockstep.worker.operation.model import Action, Outcome, Presence, Step, Undo
    from lockstep.worker.operation.model import Operation as Status
    from lockstep.worker.operation.pause import Pause
    from lockstep.worker.operation.states import State
    from lockstep.worker.settings import Settings, load_settings

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
    "ClusterClient": "lockstep.producer.client",
    "AbandonRefused": "lockstep.producer.errors",
    "NotReady": "lockstep.producer.errors",
    "Operation": "lockstep.producer.handle",
    "HostStanding": "lockstep.producer.hosts",
    "Plan": "lockstep.producer.planning",
    "HostResult": "lockstep.producer.results",
    "Result": "lockstep.producer.results",
    "Host": "lockstep.worker.operation.host",
    "Pause": "lockstep.worker.operation.pause",
    "Inventory": "lockstep.worker.inventory",
    "load_inventory": "lockstep.worker.inventory",
    "Settings": "lockstep.worker.settings",
    "load_settings": "lockstep.worker.settings",
    "State": "lockstep.worker.operation.states",
    **dict.fromkeys(
        ("Action", "Outcome", "Presence", "Status", "Step", "Undo"), "lockstep.worker.operation.model"
    ),
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives; errors live in `lockstep.worker.operation.errors`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import (
        import_module,  # here, for a probe of liveness imports this package every few seconds
    )

    module = import_module(_HOMES.get(name, "lockstep.worker.operation.errors"))
    value: object = getattr(module, "Operation" if name == "Status" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be imported, loaded or not."""
    return sorted({*globals(), *__all__})
