"""Hosts that are not to be called: paused by people, or spared because they were silent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import cast

import redis

from lockstep.worker.operation.errors import HostPaused, RecordDamaged
from lockstep.worker.operation.host import Pause, Silence, refusal
from lockstep.worker.operation.model import HostName, Millis
from lockstep.worker.record.codec import Keys
from lockstep.worker.record.fields import Fields, readable
from lockstep.worker.record.queries import store_errors


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


class Silences:
    """The silences on one Redis client. Every method is one round trip, and raises StoreUnavailable."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key = keys.spared
        self._script = client.register_script(
            (files("lockstep.worker.record") / "lua" / "spare.lua").read_text("utf-8")
        )

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        """Begin a silence, or lengthen the one there is."""
        with store_errors():
            self._script(keys=[self._key], args=[host, milliseconds, failures, why])

    def left(self, host: HostName) -> tuple[Silence, int] | None:
        """Return a host's silence and the milliseconds that it lasts; None if it is not spared."""
        with store_errors():
            said = cast(list[str], self._script(keys=[self._key], args=[host, "", "", ""]))
        if len(said) < 2:
            return None
        return self._lasting({host: said[1]}, int(said[0])).get(host)

    def answered(self, host: HostName) -> None:
        """End a host's silence."""
        with store_errors():
            self._client.hdel(self._key, host)

    def all(self) -> dict[HostName, tuple[Silence, int]]:
        """Return every silence that is not over, with the milliseconds that it lasts."""
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, micros), kept = pipe.execute()
        now = seconds * 1000 + micros // 1000
        return self._lasting(kept, now)

    def _lasting(self, kept: Mapping[str, str], now: int) -> dict[HostName, tuple[Silence, int]]:
        found = silences(self._key, kept)
        return {silence.host: (silence, silence.until - now) for silence in found if silence.until > now}


def silences(key: str, kept: Mapping[str, str]) -> list[Silence]:
    """Return the silences of what is kept, by host; a damaged one spares no host."""
    found = readable("silence", key, kept, _silence)
    return [found[host] for host in sorted(found)]


def _silence(host: str, text: str) -> Silence:
    kept = Fields.of(text)
    since, until = Millis(kept.number("since")), Millis(kept.number("until"))
    return Silence(HostName(host), since, until, kept.number("failures"), kept.text("why"))
