"""Which hosts there are; they are read again when their file changes."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from lockstep.worker.inventory.file import read_hosts
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import ALL_HOSTS, UNLIMITED, Host, WriteLimit
from lockstep.worker.operation.model import HostName, HostRef
from lockstep.worker.operation.names import named, show
from lockstep.worker.operation.waves import AT_ONCE, Pace
from lockstep.worker.process.forks import renew_in_children
from lockstep.worker.settings import Settings
from lockstep.worker.settings.environment import version_of

LOOK_EVERY = 1.0
"""Seconds between two looks at the file; a look is one `stat`."""
AFTER_A_FAULT = 5.0
"""Seconds until a file that could not be taken is read again."""
AT_REST = 1.0
"""Seconds for which a file must not have changed: one written in place must not be read halfway."""
SAY_EVERY = 10.0
"""Seconds between two words about hosts that are not known here."""
log = logging.getLogger(__name__)


class Inventory:
    """All hosts, by name, in the order in which they were given."""

    def __init__(
        self, hosts: Iterable[Host], pace: Pace = AT_ONCE, kinds: str = "", together: WriteLimit = UNLIMITED
    ) -> None:
        self._together = together
        self.pace = pace
        """How operations go from host to host unless they are asked otherwise."""
        self.kinds = kinds
        """The folder with the user's own kinds; empty if there is none."""
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
        """Twelve characters that two inventories share only if they have the same hosts, URLs and limits."""
        limits = sorted((name, limit.kept()) for name, limit in self.limits().items())
        known = [*sorted((host.name, host.url) for host in self), *limits]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]

    def limits(self, hosts: Iterable[Host] | None = None) -> dict[str, WriteLimit]:
        """Return the limits of these hosts, or of all, that all workers share; `*` for all together."""
        found: dict[str, WriteLimit] = {ALL_HOSTS: self._together}
        found.update((host.name, host.limit) for host in (self if hosts is None else hosts))
        return {name: limit for name, limit in found.items() if limit != UNLIMITED}

    def serving(self, kind: str, hosts: Iterable[Host] | None = None) -> tuple[Host, ...]:
        """Return those of these hosts, or of all, that have things of this kind."""
        among = self if hosts is None else hosts
        return tuple(
            host
            for host in among
            if "*" in host.serves or any(fnmatchcase(kind, pattern) for pattern in host.serves)
        )

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


def load_inventory(settings: Settings) -> Inventory:
    """Read the hosts that the settings name; raise InvalidInput naming the offending value."""
    return Inventory(*read_hosts(settings))


class LiveInventory:
    """The hosts as the settings' file has them now. Safe to share between threads.

    A file that cannot be taken leaves the inventory as it is, and one line in the log says why. Hosts that
    stand in the settings themselves never change. Raises InvalidInput only when it is built.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = Path(settings.inventory) if settings.inventory else None
        self._taken = self._seen = self._version()
        self._seen_since = time.monotonic()
        self._inventory = load_inventory(settings)
        self.start_anew()
        renew_in_children(self)
        self._look_at = time.monotonic() + LOOK_EVERY
        self.fault = ""
        """Why the file as it is now was not taken; empty if it was."""
        self._taken_at = time.monotonic()
        self._former: dict[HostRef, tuple[Host, float]] = {}
        """Hosts that are gone, each with the time from which on it is forgotten."""
        self._say_at = 0.0

    @property
    def age(self) -> float:
        """Seconds since the file was read."""
        return time.monotonic() - self._taken_at

    def current(self) -> Inventory:
        """Return the inventory, read again if its file has changed; looks at most once a second."""
        if time.monotonic() >= self._look_at:
            self._look()
        return self._inventory

    def find(self, name: HostName) -> Host | None:
        """Return a host by its name, or None; an unknown one is looked for in the file at once."""
        found = self.current().find(name)
        if found is None and not self.fault:
            self._look(wait=True)
            found = self._inventory.find(name)
        return found

    def start_anew(self) -> None:
        self._looking = threading.Lock()

    def find_as(self, name: HostName, fingerprint: str | None) -> Host | None:
        """Return a host as an operation means it, from the file as it is now, or as it was until lately.

        An operation is carried out on the hosts that it was accepted with, though they leave the inventory
        meanwhile: for `deadline` seconds they are remembered. A host that cannot be told is named in the log.
        """
        if not self.fault:  # one that is broken is read again only now and then
            self._look(wait=True)
        now, found = time.monotonic(), self.current().find(name)
        if found is not None and fingerprint in (None, found.fingerprint):
            return found
        for host, until in list(self._former.values()):
            if host.name == name and fingerprint in (None, host.fingerprint) and now < until:
                return host
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY
            log.warning(
                "host %s is %s here: inventory %s, %d hosts, looked at again; its steps go to other workers",
                name,
                "not known" if found is None else "at another URL",
                self._inventory.digest,
                len(self._inventory),
            )
        return None

    def _look(self, *, wait: bool = False) -> None:
        # While one thread looks, the others are served what there is, unless that is not enough.
        if self._path is None or not self._looking.acquire(blocking=wait):
            return
        try:
            now, found = time.monotonic(), self._version()
            self._look_at = now + LOOK_EVERY
            if found != self._seen:
                self._seen, self._seen_since = found, now
            written = found[-1] / 1e9 if found else math.inf
            at_rest = now - self._seen_since >= AT_REST or time.time() - written >= AT_REST
            if found != self._taken and at_rest:
                self._take(found)
        finally:
            self._looking.release()

    def _take(self, found: tuple[int, ...] | None) -> None:
        try:
            inventory = load_inventory(self._settings)
        except InvalidInput as error:
            self._look_at = time.monotonic() + AFTER_A_FAULT
            if str(error) != self.fault:
                log.warning("the inventory stays as it was, %d hosts: %s", len(self._inventory), error)
            self.fault = str(error)
            return
        if self._version() != found:
            return  # replaced while it was read: the next look is for that
        log.info("inventory read again: %s", _difference(self._inventory, inventory))
        now, kept = time.monotonic(), {host.ref for host in inventory}
        gone = {host.ref: (host, now + self._settings.deadline) for host in self._inventory}
        former = {**self._former, **gone}.items()
        self._former = {ref: (host, end) for ref, (host, end) in former if now < end and ref not in kept}
        self._inventory, self._taken, self.fault = inventory, found, ""
        self._taken_at = now

    def _version(self) -> tuple[int, ...] | None:
        return None if self._path is None else version_of(self._path)


def _difference(old: Inventory, new: Inventory) -> str:
    before, after = ({host.name: host for host in each} for each in (old, new))
    kinds = {
        "new": [name for name in after if name not in before],
        "gone": [name for name in before if name not in after],
        "changed": [name for name in after if name in before and before[name] != after[name]],
    }
    told = [f"{kind}: {named(names)}" for kind, names in kinds.items() if names]
    return "; ".join([f"{len(after)} hosts", *told])
