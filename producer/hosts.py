"""The hosts of the cluster as they are now: answering or not, paused or not, and the drift seen on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lockstep.producer.asking import holds, probe, together
from lockstep.producer.link import Link
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.drift import Drift
from lockstep.worker.operation.errors import HostPaused
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, HostRef
from lockstep.worker.operation.pause import Pause, refusal
from lockstep.worker.operation.spell import Spell
from lockstep.worker.settings import Settings

NO_GROUP = GroupId("lockstep-hosts")
"""Asked for with a GET; it need not exist."""


@dataclass(frozen=True, slots=True)
class HostStanding:
    """How one host is."""

    host: HostName
    url: str
    labels: Mapping[str, str]
    answering: bool
    said: str
    """What it said to a GET, in a few words, or why nothing came back."""
    pause: Pause | None
    spell: Spell | None
    """Workers spare it, for it does not answer."""
    spared_for: int
    """Milliseconds that this lasts."""
    drifts: tuple[Drift, ...]
    """What the patrol found there, and has not seen gone since."""


def standings(link: Link, hosts: Sequence[Host], settings: Settings) -> tuple[HostStanding, ...]:
    """Ask every host, and read what the record has of it. Raises StoreUnavailable."""
    pauses, spells = link.pauses.all(), link.spells.all()
    drifts: dict[HostName, list[Drift]] = {}
    for drift in link.store.drifts():
        drifts.setdefault(drift.host, []).append(drift)

    def standing(host: Host) -> HostStanding:
        answer, _ = probe(host, NO_GROUP, settings)
        spell, left = spells.get(host.name, (None, 0))
        return HostStanding(
            host=host.name,
            url=host.url,
            labels=host.labels,
            answering=holds(answer) is not None,
            said=answer.text,
            pause=pauses.get(host.name),
            spell=spell,
            spared_for=left,
            drifts=tuple(drifts.get(host.name, ())),
        )

    return tuple(together(standing, hosts))


def pause(link: Link, inventory: Inventory, host: str, by: str, why: str) -> Pause | None:
    """Keep new operations off a host of the inventory; return the pause that holds already, if one does."""
    (found,) = inventory.select([host])
    return link.pauses.pause(found.name, by, why)


def resume(link: Link, inventory: Inventory, host: str) -> Pause | None:
    """End a pause and return it; None if there was none. Raises InvalidInput for a host nobody knows."""
    ended = link.pauses.resume(HostName(host))
    if ended is None:
        inventory.select([host])
    return ended


def refuse_paused(pauses: Mapping[HostName, Pause], hosts: Iterable[HostRef]) -> None:
    """Raise HostPaused, as accepting would, if one of the hosts is paused."""
    needed = [pauses[host.name] for host in hosts if host.name in pauses]
    if needed:
        raise HostPaused(refusal(needed[0], len(needed) - 1))
