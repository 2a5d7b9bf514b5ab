"""What the steps need of the world besides the store: hosts, time and chance, all passed in."""

from __future__ import annotations

from typing import Protocol

from lockstep.worker.operation.answer import ProbeAnswer, WriteAnswer
from lockstep.worker.operation.model import Action, AttemptId, GroupId


class Stopping(Exception):
    """The worker is being stopped: no further call is started; the task goes back to its queue."""


class HostApi(Protocol):
    """One host's group API. Its methods never raise for what a host does, only Stopping."""

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        ...

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group. Raises Stopping before anything is sent if the worker is being stopped."""
        ...

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `Clock.elapsed` has passed `send_before` when bytes would leave.

        `body` is the JSON to create the group with; without it the id alone is sent.
        """
        ...


class Clock(Protocol):
    """Time and chance."""

    def elapsed(self) -> float:
        """Seconds on a clock that never steps and goes on while the machine is suspended."""
        ...

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        ...

    def new_id(self) -> AttemptId:
        """An id that no other attempt has."""
        ...
