"""Clients that create and delete groups without a pause, and the judgement of what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lockstep import ClusterClient, load_settings
from lockstep.worker.operation.errors import StoreUnavailable, UnknownOperation
from tests.cluster.hosts import Hosts
from tests.waits import eventually

T = TypeVar("T")
ENDS_WITHIN = 200
"""Seconds in which an operation must have ended, whatever is done to the cluster meanwhile."""


@dataclass(slots=True)
class Load:
    """Lanes of operations, one after another in each; `end` waits for the last ones."""

    hosts: Hosts
    inventory: Path
    redis_url: str
    lanes: int = 6
    size: int = 0
    """How many hosts the inventory names by now."""
    begun: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    """How each operation ended."""
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self._threads = [
            threading.Thread(target=self._lane, args=(n,), daemon=True) for n in range(self.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Fail if a client gave up, or saw hosts that are not as an operation ended."""
        assert not self.wrong, self.wrong
        assert all(thread.is_alive() for thread in self._threads), "a client ended with an error"

    def under_way(self) -> set[str]:
        """Return the operations that have begun and not ended."""
        return self.begun.difference(self.ended)

    def end(self) -> Counter[str]:
        """Begin nothing any more; return how many operations ended how, once all have."""
        self._stop.set()
        for thread in self._threads:
            thread.join(ENDS_WITHIN)
            assert not thread.is_alive(), "an operation has not ended"
        return Counter(self.ended.values())

    def one(self, name: str) -> None:
        """Create a group on all hosts there are by now, and delete it again."""
        with self._client() as client:
            self._play(client, name)

    def known(self, *operations: str) -> list[bool] | None:
        """Return which operations there is a record of; None while Redis does not answer."""
        found = []
        with self._client() as client:
            for name in operations:
                try:
                    found.append(bool(client.operation(name).status()))
                except UnknownOperation:
                    found.append(False)
                except StoreUnavailable:
                    return None
        return found

    def _client(self) -> ClusterClient:
        settings = load_settings(redis_url=self.redis_url, inventory=str(self.inventory))
        return ClusterClient(settings, created_by="cluster")

    def _lane(self, lane: int) -> None:
        number = 0
        while not self._stop.is_set():
            with self._client() as client:
                self._play(client, f"lane{lane}-{number}")
            number += 1

    def _play(self, client: ClusterClient, group: str) -> None:
        size = self.size
        for action, holders in (("create", size), ("delete", 0)):
            key = f"{action}-{group}"
            self.begun.add(key)
            accept = client.create_group if action == "create" else client.delete_group
            operation = insist(lambda accept=accept, key=key: accept(group, operation_id=key))  # type: ignore[misc]
            result = insist(lambda operation=operation: operation.wait(timeout=ENDS_WITHIN))  # type: ignore[misc]
            self.ended[key] = str(result.state)
            held = self.hosts.holding(group, size)
            before = 0 if action == "create" else size
            if held != (holders if result.committed else before):
                self.wrong.append(f"{key} is {result.state}, and {held} of {size} hosts hold the group")


def insist(ask: Callable[[], T]) -> T:
    """Ask again while Redis is away: the id of an operation makes that harmless."""
    answers: list[T] = []

    def asked() -> bool:
        try:
            answers.append(ask())
        except StoreUnavailable:
            return False
        return True

    eventually(asked, "Redis is back", ENDS_WITHIN, latest=0.5)
    return answers[0]
