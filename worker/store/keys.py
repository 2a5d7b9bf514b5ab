"""Every key name, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.worker.operation.model import GroupId, OperationId


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix; `{prefix}op:{id}` and its suffixes belong to one operation."""

    prefix: str

    @property
    def due(self) -> str:
        """Sorted set: operation id by the time the sweep is to look at it."""
        return f"{self.prefix}due"

    @property
    def operations(self) -> str:
        """Sorted set: every recorded operation's id by the time it was accepted."""
        return f"{self.prefix}operations"

    @property
    def ended(self) -> str:
        """Sorted set: ended operations' ids by the time they ended."""
        return f"{self.prefix}ended"

    @property
    def patrol(self) -> str:
        """Sorted set: group by the time the patrol is to look at it."""
        return f"{self.prefix}patrol"

    @property
    def drift(self) -> str:
        """Hash: `group host` -> the drift that the patrol found there, as JSON."""
        return f"{self.prefix}drift"

    @property
    def paused(self) -> str:
        """Hash: host -> who paused it, when and why, as JSON; outlives retention."""
        return f"{self.prefix}paused"

    @property
    def spared(self) -> str:
        """Hash: host -> since and until when forward looks spare it, and why, as JSON; it has a TTL."""
        return f"{self.prefix}spared"

    @property
    def lost(self) -> str:
        """Hash: operation id -> its group, and when its record was missed, as JSON; it has a TTL."""
        return f"{self.prefix}lost"

    @property
    def dropped(self) -> str:
        """Sorted set: operations that retention dropped -> when; the last 10,000, and it has a TTL."""
        return f"{self.prefix}dropped"

    @property
    def clocks(self) -> str:
        """Hash: process -> by how much its wall clock is ahead, as JSON; ended ones are dropped."""
        return f"{self.prefix}clocks"

    @property
    def stalled(self) -> str:
        """Hash: worker -> when it last stood still and why, as JSON; it has a TTL."""
        return f"{self.prefix}stalled"

    @property
    def failing(self) -> str:
        """Hash: periodic piece of work -> why it failed when it was last tried."""
        return f"{self.prefix}failing"

    @property
    def tidied(self) -> str:
        """String: the cursor of the patrol's look for groups that may be forgotten; it has a TTL."""
        return f"{self.prefix}tidied"

    @property
    def fence(self) -> str:
        """String: written before replicas are waited for; worth nothing by itself."""
        return f"{self.prefix}fence"

    def operation(self, operation: OperationId) -> str:
        """Hash: the operation's own fields."""
        return f"{self.prefix}op:{operation}"

    def steps(self, operation: OperationId) -> str:
        """Hash: host -> its step as JSON."""
        return f"{self.prefix}op:{operation}:steps"

    def undo(self, operation: OperationId) -> str:
        """Set: hosts that were touched and are not known to be restored."""
        return f"{self.prefix}op:{operation}:undo"

    def lock(self, group: GroupId) -> str:
        """String: the id of the operation that owns the group. It has no TTL."""
        return f"{self.prefix}lock:{group}"

    def ends(self, group: GroupId) -> str:
        """Hash: host -> what the last ended operation left there; outlives retention."""
        return f"{self.prefix}ends:{group}"

    def suspects(self, group: GroupId) -> str:
        """Hash: `host presence` -> when a write that would bring it was given up, its fate unknown."""
        return f"{self.prefix}suspects:{group}"

    def events(self, operation: OperationId) -> str:
        """Channel: a message for every transition of the operation."""
        return f"{self.prefix}events:{operation}"

    def lease(self, name: str) -> str:
        """String with a TTL: who does a periodic piece of work just now."""
        return f"{self.prefix}lease:{name}"

    def for_transition(self, operation: OperationId) -> list[str]:
        """Return the KEYS of every transition script, in the order that `record.lua` names them."""
        op = self.operation(operation)
        own = [op, *(f"{op}:{part}" for part in ("steps", "todo", "undo", "open", "waits"))]
        return [*own, self.due, self.operations, self.ended, self.patrol]
