"""What Redis holds for Lockstep, by kind of key."""

from __future__ import annotations

from typing import cast

import redis

from benchmarks.figures import Kept
from worker.settings import Settings

PREFIX = str(Settings.model_fields["key_prefix"].default)


def kept(client: redis.Redis) -> Kept:
    """Count keys and their bytes, by what stands behind the prefix: `op`, `ends`, `celery` and so on."""
    found = Kept()
    for key in cast(list[str], list(client.scan_iter(count=1000))):
        kind = key.removeprefix(PREFIX).partition(":")[0]
        found.keys[kind] += 1
        found.sizes[kind] += int(cast(int, client.memory_usage(key, samples=0)) or 0)
    return found
