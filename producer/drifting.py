"""Hosts that differ from what the last ended operations left there, found by asking them now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from producer.asking import holds, probe, together
from worker.inventory import Inventory
from worker.operation.drift import Drift, End
from worker.operation.errors import HostUnavailable
from worker.operation.host import Host
from worker.operation.model import Action, GroupId, HostName, Millis, OperationId, Presence
from worker.settings import Settings
from worker.store.base import Ends


@dataclass(frozen=True, slots=True)
class Looked:
    """What asking the hosts of one group brought."""

    group: GroupId
    drifts: tuple[Drift, ...] = ()
    silent: tuple[HostName, ...] = ()
    """Hosts that gave no usable answer."""
    strangers: tuple[HostName, ...] = ()
    """Hosts that an operation covered, but that the inventory lacks or has under another URL."""
    owner: OperationId | None = None
    """The operation that works on the group: nothing was asked, for its end will be the measure."""


def look(
    store: Ends, inventory: Inventory, settings: Settings, groups: Iterable[GroupId]
) -> Iterator[Looked]:
    """Ask the hosts of each group; what the patrol had recorded, and is gone, is taken off its list.

    Raises StoreUnavailable.
    """
    for group in groups:
        owner = store.lock_owner(group)
        yield Looked(group, owner=owner) if owner else _look(store, inventory, settings, group)


def _look(store: Ends, inventory: Inventory, settings: Settings, group: GroupId) -> Looked:
    ends = store.ends(group)
    known: dict[HostName, Host] = {}
    for name, end in ends.items():
        host = inventory.find(name)
        if host is not None and host.fingerprint == end.fingerprint:
            known[name] = host
    now = store.now()
    shown_by = together(lambda host: holds(probe(host, group, settings)[0]), known.values())
    seen = dict(zip(known, shown_by, strict=True))
    found = {name: _compare(group, name, ends[name], shown, now) for name, shown in seen.items() if shown}
    store.keep_drift(group, {name: None for name, drift in found.items() if drift is None})
    return Looked(
        group,
        drifts=tuple(drift for drift in found.values() if drift is not None),
        silent=tuple(name for name, shown in seen.items() if shown is None),
        strangers=tuple(name for name in ends if name not in known),
    )


def _compare(group: GroupId, host: HostName, end: End, shown: Presence, now: Millis) -> Drift | None:
    return None if shown is end.presence else Drift(group, host, end, shown, now)


@dataclass(frozen=True, slots=True)
class Due:
    """What one group needs on the host that is brought up to date."""

    group: GroupId
    holds: Presence
    action: Action | None
    """None: it is as it should be, or nobody can tell what it should be."""
    note: str
    certain: bool = True
    """False if the ends of the other hosts contradict each other."""


def sync_plan(store: Ends, host: Host, settings: Settings) -> list[Due]:
    """Tell, for every group of which an operation has ended, what the host holds and what it should hold.

    The host's own last end counts; a host without one should hold what all others agree on.
    Raises HostUnavailable when it gives no usable answer.
    """
    groups = sorted(store.groups_with_ends())

    def due(group: GroupId) -> Due:
        answer, _ = probe(host, group, settings)
        held = holds(answer)
        if held is None:
            raise HostUnavailable(
                f'host "{host.name}" gave no usable answer ({answer.text}) on "{group}": nothing was changed'
            )
        return _due(group, held, store.ends(group), host.name)

    return together(due, groups)


def _due(group: GroupId, held: Presence, ends: Mapping[HostName, End], host: HostName) -> Due:
    own = ends.get(host)
    wished = {own.presence} if own is not None else {end.presence for end in ends.values()}
    if len(wished) > 1:
        return Due(group, held, None, "the other hosts differ: nobody can tell what it should hold", False)
    (target,) = wished
    if held is target:
        return Due(group, held, None, "as it should be")
    action = Action.CREATE if target is Presence.PRESENT else Action.DELETE
    said = f"its own operation {own.operation}" if own is not None else "all other hosts"
    return Due(group, held, action, f"{target} by {said}")
