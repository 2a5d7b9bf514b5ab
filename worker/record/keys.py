"""The keys of the record in Redis."""

from __future__ import annotations

from collections.abc import Callable

from lockstep.worker.operation.model import GroupId, OperationId

PARTS = ("", ":steps", ":todo", ":undo", ":open", ":waits")
"""What follows the key of an operation in the KEYS of every script, in the order of `record.lua`."""


class Keys:
    """Key names under one prefix; `{prefix}op:{id}` and its suffixes belong to one operation."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.due = prefix + "due"
        """Sorted set: operation id by the time the sweep is to look at it."""
        self.operations = prefix + "operations"
        """Sorted set: every recorded operation's id by the time it was accepted."""
        self.ended = prefix + "ended"
        """Sorted set: ended operations' ids by the time they ended."""
        self.patrol = prefix + "patrol"
        """Sorted set: group by the time the patrol is to look at it."""
        self.shared = self.due, self.operations, self.ended, self.patrol
        """What comes after those of its operation in the KEYS of every script."""
        self.drift = prefix + "drift"
        """Hash: `group host` -> the drift that the patrol found there, as JSON."""
        self.paused = prefix + "paused"
        """Hash: host -> who paused it, when and why, as JSON; outlives retention."""
        self.limits = prefix + "limits"
        """Hash: host, or * for all -> how many writes it takes at once, and a second; - for any number."""
        self.spared = prefix + "spared"
        """Hash: host -> since and until when forward looks spare it, and why, as JSON; it has a TTL."""
        self.lost = prefix + "lost"
        """Hash: operation id -> its group, and when its record was missed, as JSON; it has a TTL."""
        self.dropped = prefix + "dropped"
        """Sorted set: operations that retention dropped -> when; the last 10,000, and it has a TTL."""
        self.clocks = prefix + "clocks"
        """Hash: process -> by how much its wall clock is ahead, as JSON; ended ones are dropped."""
        self.stalled = prefix + "stalled"
        """Hash: worker -> when it last stood still and why, as JSON; it has a TTL."""
        self.failing = prefix + "failing"
        """Hash: periodic piece of work -> why it failed when it was last tried."""
        self.tidied = prefix + "tidied"
        """String: the cursor of the patrol's look for groups that may be forgotten; it has a TTL."""
        self.fence = prefix + "fence"
        """String: written before replicas are waited for; worth nothing by itself."""
        self.operation: Callable[[OperationId], str] = (prefix + "op:{}").format
        """Hash: the operation's own fields."""
        self.steps: Callable[[OperationId], str] = (prefix + "op:{}:steps").format
        """Hash: host -> its step as JSON."""
        self.undo: Callable[[OperationId], str] = (prefix + "op:{}:undo").format
        """Set: hosts that were touched and are not known to be restored."""
        self.lock: Callable[[GroupId], str] = (prefix + "lock:{}").format
        """String: the id of the operation that owns the group. It has no TTL."""
        self.ends: Callable[[GroupId], str] = (prefix + "ends:{}").format
        """Hash: host -> what the last ended operation left there; outlives retention."""
        self.suspects: Callable[[GroupId], str] = (prefix + "suspects:{}").format
        """Hash: `host presence` -> when a write that would bring it was given up, its fate unknown."""
        self.texts: Callable[[OperationId], str] = (prefix + "op:{}:texts").format
        """Hash: digest -> a content's text; beside them the definition and the given secrets."""
        self.left: Callable[[GroupId], str] = (prefix + "left:{}").format
        """Hash: host -> what the last ended operation on a thing left there; `=digest` -> its text."""
        self.events: Callable[[OperationId], str] = (prefix + "events:{}").format
        """Channel: a message for every transition of the operation."""
        self.queue: Callable[[str], str] = (prefix + "celery:{}").format
        """List: the messages that wait in a queue of Celery's."""
        self.lease: Callable[[str], str] = (prefix + "lease:{}").format
        """String with a TTL: who does a periodic piece of work just now."""

    def line(self, name: str, part: str) -> str:
        """Of a limited host, or * for all: its `places`, `queue` and `pace` (sorted sets), and `next`."""
        return f"{self.prefix}limit:{name}:{part}"
