"""Caps on the calls that one worker process has under way: in all, and to one host."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.operation.answer import NoReply, ProbeAnswer, Trouble, WriteAnswer, classify_write
from worker.operation.model import Action, AttemptId, GroupId, HostName
from worker.operation.ports import Clock, Crowded, HostApi


@dataclass(eq=False, slots=True)
class _Waiting:
    host: HostName
    granted: threading.Event = field(default_factory=threading.Event)


class Turns:
    """Who may call next: in the order of asking, those that are pressed before all others."""

    def __init__(self, most: int | None, most_per_host: int | None) -> None:
        """None means no cap."""
        self._most = most
        self._most_per_host = most_per_host
        self._calls = 0
        self._calls_by_host: Counter[HostName] = Counter()
        self._pressed: deque[_Waiting] = deque()
        self._others: deque[_Waiting] = deque()
        self._lock = threading.Lock()

    def take(self, host: HostName, patience: float, *, pressed: bool) -> bool:
        """Wait for a turn for at most so many seconds; whoever gets one has to give it back."""
        queue = self._pressed if pressed else self._others
        with self._lock:
            # Whoever waits could not go on now, so this overtakes nobody.
            if self._room(host):
                self._grant(host)
                return True
            waiting = _Waiting(host)
            queue.append(waiting)
        if waiting.granted.wait(max(patience, 0.0)):
            return True
        with self._lock:
            if waiting.granted.is_set():  # just now
                return True
            queue.remove(waiting)
            return False

    def give_back(self, host: HostName) -> None:
        """Let the next one call."""
        with self._lock:
            self._calls -= 1
            self._calls_by_host[host] -= 1
            if not self._calls_by_host[host]:
                del self._calls_by_host[host]
            for queue in (self._pressed, self._others):
                for waiting in list(queue):
                    if self._room(waiting.host):
                        queue.remove(waiting)
                        self._grant(waiting.host)
                        waiting.granted.set()

    def _room(self, host: HostName) -> bool:
        if self._most is not None and self._calls >= self._most:
            return False
        return self._most_per_host is None or self._calls_by_host[host] < self._most_per_host

    def _grant(self, host: HostName) -> None:
        self._calls += 1
        self._calls_by_host[host] += 1


@dataclass(frozen=True, slots=True)
class Capped:
    """The same host, called when it is its turn. A wait is no part of a call, and no answer of the host.

    A look that does not get its turn in time raises Crowded. A write waits no longer than it may be sent,
    and is then too late, as if its connection had taken so long.
    """

    host: HostApi
    name: HostName
    turns: Turns
    clock: Clock
    patience: float
    """Seconds that a look waits."""
    pressed: bool
    """Its looks come before those of others; writes always do."""

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group. Raises Crowded, and Stopping as the host does."""
        with self._turn(self.patience, self.pressed):
            return self.host.probe(group)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `send_before` has passed when bytes would leave."""
        try:
            with self._turn(send_before - self.clock.elapsed(), True):
                return self.host.write(action, group, attempt, send_before, body)
        except Crowded as error:
            return classify_write(action, group, NoReply(Trouble.TOO_LATE, str(error)))

    @contextlib.contextmanager
    def _turn(self, patience: float, pressed: bool) -> Iterator[None]:
        if not self.turns.take(self.name, patience, pressed=pressed):
            raise Crowded("max_calls or max_calls_per_host are under way")
        try:
            yield
        finally:
            self.turns.give_back(self.name)
