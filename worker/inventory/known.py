"""Hosts by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import cast

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.names import show


class Inventory:
    """All hosts, by name, in the order in which they were given."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        self._hosts: dict[HostName, Host] = {}
        urls: dict[str, HostName] = {}
        names: dict[str, HostName] = {}
        for host in hosts:
            twin = names.setdefault(host.name.casefold(), host.name)
            if host.name in self._hosts or twin != host.name:
                raise InvalidInput(
                    f"host name {show(host.name)} stands twice in the inventory: names are unique"
                )
            if (other := urls.setdefault(host.url, host.name)) != host.name:
                raise InvalidInput(
                    f"url {show(host.url)} of host {show(host.name)} is that of {show(other)} too"
                )
            self._hosts[host.name] = host
        if not self._hosts:
            raise InvalidInput("the inventory is empty: set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY")

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def digest(self) -> str:
        """Twelve characters that two inventories share only if they have the same hosts at the same URLs."""
        known = sorted((host.name, host.url) for host in self)
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]

    def find(self, name: HostName) -> Host | None:
        """Return a host by its name, or None."""
        return self._hosts.get(name)

    def select(self, names: Iterable[object] | None) -> tuple[Host, ...]:
        """Return the named hosts, all for None; raise InvalidInput for an unknown name or an empty list."""
        if names is None:
            return tuple(self)
        if isinstance(names, str):
            raise InvalidInput(f"hosts {show(names)} is a string: give a list of host names")
        chosen: dict[HostName, Host] = {}
        for name in names:
            host = self._hosts.get(cast(HostName, name)) if isinstance(name, str) else None
            if host is None:
                raise InvalidInput(f"host {show(name)} is not in the inventory; known: {self._known()}")
            chosen[host.name] = host
        if not chosen:
            raise InvalidInput("the list of hosts is empty: name at least one, or leave it out for all")
        return tuple(chosen.values())

    def _known(self, most: int = 10) -> str:
        names = list(self._hosts)
        more = f", … ({len(names)} in all)" if len(names) > most else ""
        return ", ".join(names[:most]) + more
