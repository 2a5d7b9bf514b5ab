"""What a host needs that comes new into a cluster, or comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lockstep.producer.operators.hosts import probe, together
from lockstep.worker.operation.drift import End, Ends
from lockstep.worker.operation.errors import HostUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, Presence
from lockstep.worker.settings import Settings


@dataclass(frozen=True, slots=True)
class SyncItem:
    """What one group needs on the host that is brought up to date."""

    group: GroupId
    holds: Presence
    action: Action | None
    """None: it is as it should be, or nobody can tell what it should be."""
    note: str
    certain: bool = True
    """False if the ends of the other hosts contradict each other."""


def sync_plan(store: Ends, host: Host, settings: Settings) -> list[SyncItem]:
    """Tell, for every group of which an operation has ended, what the host holds and what it should hold.

    The host's own last end counts; a host without one should hold what all others agree on.
    Raises HostUnavailable when it gives no usable answer.
    """
    groups = sorted(store.groups_with_ends())

    def due(group: GroupId) -> SyncItem:
        answer, _ = probe(host, group, settings)
        held = answer.presence
        if held is None:
            raise HostUnavailable(
                f'host "{host.name}" gave no usable answer ({answer.text}) on "{group}": nothing was changed'
            )
        return _due(group, held, store.ends(group), host.name)

    return together(due, groups)


def _due(group: GroupId, held: Presence, ends: Mapping[HostName, End], host: HostName) -> SyncItem:
    own = ends.get(host)
    wished = {own.presence} if own is not None else {end.presence for end in ends.values()}
    if len(wished) > 1:
        return SyncItem(
            group, held, None, "the other hosts differ: nobody can tell what it should hold", False
        )
    (target,) = wished
    if held is target:
        return SyncItem(group, held, None, "as it should be")
    said = f"its own operation {own.operation}" if own is not None else "all other hosts"
    return SyncItem(group, held, Action.to(target), f"{target} by {said}")
