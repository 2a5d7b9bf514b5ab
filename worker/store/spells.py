"""Which hosts are spared, for all workers and for people."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import cast

import redis

from lockstep.worker.operation.model import HostName, Millis
from lockstep.worker.operation.spell import Spell
from lockstep.worker.store.causes import store_errors
from lockstep.worker.store.damage import Fields, readable
from lockstep.worker.store.keys import Keys


class Spells:
    """The spells on one Redis client. Every method is one round trip, and raises StoreUnavailable."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._key = keys.spared
        self._script = client.register_script(
            (files("lockstep.worker.store") / "lua" / "spare.lua").read_text("utf-8")
        )

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        """Begin a spell, or lengthen the one there is."""
        with store_errors():
            self._script(keys=[self._key], args=[host, milliseconds, failures, why])

    def left(self, host: HostName) -> tuple[Spell, int] | None:
        """Return a host's spell and the milliseconds that it lasts; None if it is not spared."""
        with store_errors():
            said = cast(list[str], self._script(keys=[self._key], args=[host, "", "", ""]))
        if len(said) < 2:
            return None
        return self._lasting({host: said[1]}, int(said[0])).get(host)

    def answered(self, host: HostName) -> None:
        """End a host's spell."""
        with store_errors():
            self._client.hdel(self._key, host)

    def all(self) -> dict[HostName, tuple[Spell, int]]:
        """Return every spell that is not over, with the milliseconds that it lasts."""
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key)
            (seconds, micros), kept = pipe.execute()
        now = seconds * 1000 + micros // 1000
        return self._lasting(kept, now)

    def _lasting(self, kept: Mapping[str, str], now: int) -> dict[HostName, tuple[Spell, int]]:
        found = spells(self._key, kept)
        return {spell.host: (spell, spell.until - now) for spell in found if spell.until > now}


def spells(key: str, kept: Mapping[str, str]) -> list[Spell]:
    """Return the spells of what is kept, by host; a damaged one spares no host."""
    found = readable("spell", key, kept, _spell)
    return [found[host] for host in sorted(found)]


def _spell(host: str, text: str) -> Spell:
    kept = Fields.of(text)
    since, until = Millis(kept.number("since")), Millis(kept.number("until"))
    return Spell(HostName(host), since, until, kept.number("failures"), kept.text("why"))
