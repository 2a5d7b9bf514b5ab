"""All hosts or none: the client, the handle of an operation, and errors.

    from lockstep import ClusterClient

    with ClusterClient() as cluster:
        result = cluster.create_group("team-a").wait()

Names are loaded when they are first used, so that the command starts quickly.
"""

from __future__ import annotations

# As `typing` has it. To import that would take a probe of liveness as long as all the rest.
TYPE_CHECKING = False

_HOMES = {
    name: module
    for module, names in {
        "lockstep.producer.client.client": "ClusterClient",
        "lockstep.producer.client.operation": "Operation",
        "lockstep.producer.operators.hosts": "HostStatus",
        "lockstep.producer.operators.plan": "Plan",
        "lockstep.worker.inventory": "Inventory load_inventory",
        "lockstep.worker.operation.errors": (
            "AbandonRefused CancelRefused GroupBusy HoldRefused HostPaused HostUnavailable InvalidInput "
            "LockstepError NotReady OperationIdReused RecordGone StoreFull StoreUnavailable UnknownFormat "
            "UnknownOperation WaitTimeout"
        ),
        "lockstep.worker.operation.host": "Host Pause",
        "lockstep.worker.operation.model": "Action Outcome Presence State Status Step Undo",
        "lockstep.worker.operation.story": "HostResult Result",
        "lockstep.worker.operation.waves": "Pace",
        "lockstep.worker.settings": "Settings load_settings",
    }.items()
    for name in names.split()
}
__all__ = list(_HOMES)

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient as ClusterClient
    from lockstep.producer.client.operation import Operation as Operation
    from lockstep.producer.operators.hosts import HostStatus as HostStatus
    from lockstep.producer.operators.plan import Plan as Plan
    from lockstep.worker.inventory import Inventory as Inventory
    from lockstep.worker.inventory import load_inventory as load_inventory
    from lockstep.worker.operation.errors import AbandonRefused as AbandonRefused
    from lockstep.worker.operation.errors import CancelRefused as CancelRefused
    from lockstep.worker.operation.errors import GroupBusy as GroupBusy
    from lockstep.worker.operation.errors import HoldRefused as HoldRefused
    from lockstep.worker.operation.errors import HostPaused as HostPaused
    from lockstep.worker.operation.errors import HostUnavailable as HostUnavailable
    from lockstep.worker.operation.errors import InvalidInput as InvalidInput
    from lockstep.worker.operation.errors import LockstepError as LockstepError
    from lockstep.worker.operation.errors import NotReady as NotReady
    from lockstep.worker.operation.errors import OperationIdReused as OperationIdReused
    from lockstep.worker.operation.errors import RecordGone as RecordGone
    from lockstep.worker.operation.errors import StoreFull as StoreFull
    from lockstep.worker.operation.errors import StoreUnavailable as StoreUnavailable
    from lockstep.worker.operation.errors import UnknownFormat as UnknownFormat
    from lockstep.worker.operation.errors import UnknownOperation as UnknownOperation
    from lockstep.worker.operation.errors import WaitTimeout as WaitTimeout
    from lockstep.worker.operation.host import Host as Host
    from lockstep.worker.operation.host import Pause as Pause
    from lockstep.worker.operation.model import Action as Action
    from lockstep.worker.operation.model import Outcome as Outcome
    from lockstep.worker.operation.model import Presence as Presence
    from lockstep.worker.operation.model import State as State
    from lockstep.worker.operation.model import Status as Status
    from lockstep.worker.operation.model import Step as Step
    from lockstep.worker.operation.model import Undo as Undo
    from lockstep.worker.operation.story import HostResult as HostResult
    from lockstep.worker.operation.story import Result as Result
    from lockstep.worker.operation.waves import Pace as Pace
    from lockstep.worker.settings import Settings as Settings
    from lockstep.worker.settings import load_settings as load_settings


def __getattr__(name: str) -> object:
    """Load a public name from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Here, for a probe of liveness imports this package every few seconds.
    from importlib import import_module

    from lockstep.extras import hidden

    if why := hidden():
        raise ImportError(why)
    module = import_module(_HOMES[name])
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be imported, loaded or not."""
    return sorted({*globals(), *_HOMES})
