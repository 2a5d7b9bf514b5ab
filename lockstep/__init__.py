"""All hosts or none: the client, the handle of an operation, and errors.

    from lockstep import ClusterClient

    with ClusterClient() as cluster:
        result = cluster.create_group("team-a").wait()

Names are loaded when they are first used, so that the command starts quickly.
"""

from __future__ import annotations

# As `typing` has it. To import that would take a probe of liveness as long as all the rest.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient
    from lockstep.producer.client.operation import Operation
    from lockstep.producer.operators.hosts import HostStanding
    from lockstep.producer.operators.plan import Plan
    from lockstep.worker.inventory import Inventory, load_inventory
    from lockstep.worker.operation.errors import (
        AbandonRefused,
        CancelRefused,
        GroupBusy,
        HoldRefused,
        HostPaused,
        HostUnavailable,
        InvalidInput,
        LockstepError,
        NotReady,
        OperationIdReused,
        RecordGone,
        StoreFull,
        StoreUnavailable,
        UnknownFormat,
        UnknownOperation,
        WaitTimeout,
    )
    from lockstep.worker.operation.host import Host, Pause
    from lockstep.worker.operation.model import Action, Outcome, Presence, State, Status, Step, Undo
    from lockstep.worker.operation.story import HostResult, Result
    from lockstep.worker.operation.waves import Pace
    from lockstep.worker.settings import Settings, load_settings

__all__ = [
    "AbandonRefused",
    "Action",
    "CancelRefused",
    "ClusterClient",
    "GroupBusy",
    "HoldRefused",
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
    "Pace",
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
    name: module
    for module, names in {
        "lockstep.producer.client.client": "ClusterClient",
        "lockstep.producer.client.operation": "Operation",
        "lockstep.producer.operators.hosts": "HostStanding",
        "lockstep.producer.operators.plan": "Plan",
        "lockstep.worker.inventory": "Inventory load_inventory",
        "lockstep.worker.operation.host": "Host Pause",
        "lockstep.worker.operation.model": "Action Outcome Presence State Status Step Undo",
        "lockstep.worker.operation.story": "HostResult Result",
        "lockstep.worker.operation.waves": "Pace",
        "lockstep.worker.settings": "Settings load_settings",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives; errors live in `lockstep.worker.operation.errors`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Here, for a probe of liveness imports this package every few seconds.
    from importlib import import_module

    from lockstep.extras import hidden

    if why := hidden():
        raise ImportError(why)
    module = import_module(_HOMES.get(name, "lockstep.worker.operation.errors"))
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be imported, loaded or not."""
    return sorted({*globals(), *__all__})
