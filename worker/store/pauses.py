"""Which hosts are paused: `accept` refuses operations that need one of them."""

from __future__ import annotations

import json
from typing import cast

import redis

from lockstep.worker.operation.errors import HostPaused, RecordDamaged
from lockstep.worker.operation.model import HostName, Millis
from lockstep.worker.operation.pause import Pause, refusal
from lockstep.worker.store.causes import store_errors
from lockstep.worker.store.damage import Fields, readable
from lockstep.worker.store.keys import Keys


class Pauses:
    """The pauses on one Redis client. Every method raises StoreUnavailable when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key = keys.paused

    def pause(self, host: HostName, by: str, why: str) -> Pause | None:
        """Pause a host; return the pause that holds already, which then stays as it is."""
        with store_errors():
            seconds, micros = self._client.time()
            kept = {"by": by, "at": seconds * 1000 + micros // 1000, "why": why}
            if self._client.hsetnx(self._key, host, json.dumps(kept)):
                return None
            return self.all().get(host)

    def resume(self, host: HostName) -> Pause | None:
        """End a host's pause and return it; None if it was not paused."""
        held = self.all().get(host)
        with store_errors():
            return held if self._client.hdel(self._key, host) else None

    def all(self) -> dict[HostName, Pause]:
        """Return every pause."""
        with store_errors():
            kept = cast(dict[str, str], self._client.hgetall(self._key))
        found = readable("pause", self._key, kept, pause_from)
        return {HostName(host): found.get(host) or unreadable(host) for host in sorted(kept)}


def refused(said: list[str]) -> HostPaused:
    """Build the error from what `accept` answers: a host, its pause as JSON, and how many are paused."""
    _, host, text, needed = said
    try:
        pause = pause_from(host, text)
    except RecordDamaged:
        pause = unreadable(host)
    return HostPaused(refusal(pause, int(needed) - 1))


def pause_from(host: str, text: str) -> Pause:
    """Build a pause from its JSON. Raises RecordDamaged."""
    kept = Fields.of(text)
    return Pause(HostName(host), kept.text("by"), Millis(kept.number("at")), kept.text("why"))


def unreadable(host: str) -> Pause:
    """Return what stands for a pause that cannot be read: whoever damaged it, the host stays paused."""
    why = "its pause cannot be read: resume it, and pause it again"
    return Pause(HostName(host), "somebody", Millis(0), why)
