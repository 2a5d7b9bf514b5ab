"""An inventory that is read again when its file changes."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from worker.forks import renew_in_children
from worker.inventory.known import Inventory
from worker.inventory.reading import load_inventory
from worker.operation.errors import InvalidInput
from worker.operation.host import Host
from worker.operation.model import HostName
from worker.settings import Settings

LOOK_EVERY = 1.0
"""Seconds between two looks at the file; a look is one `stat`."""
AFTER_A_FAULT = 5.0
"""Seconds until a file that could not be taken is read again."""
AT_REST = 1.0
"""Seconds that a file must have been as it is: whoever writes it in place must not be read halfway."""
NAMED = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Version:
    """What changes when a file is replaced or written, wherever symbolic links lead."""

    device: int
    inode: int
    size: int
    written: int
    changed: int

    @property
    def at_rest(self) -> bool:
        return time.time() - self.written / 1e9 >= AT_REST


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
        self._fault = ""

    def current(self) -> Inventory:
        """Return the inventory, read again if its file has changed; looks at most once a second."""
        if time.monotonic() >= self._look_at:
            self._look()
        return self._inventory

    def find(self, name: HostName) -> Host | None:
        """Return a host by its name, or None; an unknown one is looked for in the file at once."""
        found = self.current().find(name)
        if found is None and not self._fault:
            self._look(wait=True)
            found = self._inventory.find(name)
        return found

    def start_anew(self) -> None:
        self._looking = threading.Lock()

    def _look(self, *, wait: bool = False) -> None:
        # Whoever comes while another looks is served from what there is, unless that is not enough.
        if self._path is None or not self._looking.acquire(blocking=wait):
            return
        try:
            now, found = time.monotonic(), self._version()
            self._look_at = now + LOOK_EVERY
            if found != self._seen:
                self._seen, self._seen_since = found, now
            at_rest = now - self._seen_since >= AT_REST or (found is not None and found.at_rest)
            if found != self._taken and at_rest:
                self._take(found)
        finally:
            self._looking.release()

    def _take(self, found: _Version | None) -> None:
        try:
            inventory = load_inventory(self._settings)
        except InvalidInput as error:
            self._look_at = time.monotonic() + AFTER_A_FAULT
            if str(error) != self._fault:
                log.warning("the inventory stays as it was, %d hosts: %s", len(self._inventory), error)
            self._fault = str(error)
            return
        if self._version() != found:
            return  # replaced while it was read: the next look is for that
        log.info("inventory read again: %s", _difference(self._inventory, inventory))
        self._inventory, self._taken, self._fault = inventory, found, ""

    def _version(self) -> _Version | None:
        """Return what identifies the file as it is; None if it cannot be found."""
        if self._path is None:
            return None
        try:
            said = self._path.stat()
        except OSError:
            return None
        return _Version(said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns)


def _difference(old: Inventory, new: Inventory) -> str:
    before, after = ({host.name: host for host in each} for each in (old, new))
    kinds = {
        "new": [name for name in after if name not in before],
        "gone": [name for name in before if name not in after],
        "changed": [name for name in after if name in before and before[name] != after[name]],
    }
    told = [f"{kind}: {_named(names)}" for kind, names in kinds.items() if names]
    return "; ".join([f"{len(after)} hosts", *told])


def _named(names: list[HostName]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
