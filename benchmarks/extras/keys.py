"""What Redis holds for Lockstep, by kind of key."""

from __future__ import annotations

from typing import cast

import redis

from benchmarks.figures import Kept
from lockstep.worker.settings import Settings

PREFIX = Settings.key_prefix


def kept(client: redis.Redis) -> Kept:
    """Count keys and their bytes, by what stands behind the prefix: `op`, `ends`, `celery` and so on.

    Celery's own that expire by themselves are counted apart.
    """
    found = Kept()
    for key in cast(list[str], list(client.scan_iter(count=1000))):
        kind = key.removeprefix(PREFIX).partition(":")[0]
        if kind == "celery" and client.ttl(key) >= 0:
            kind = "celery, expiring"
        found.keys[kind] += 1
        found.sizes[kind] += int(cast(int, client.memory_usage(key, samples=0)) or 0)
    return found
