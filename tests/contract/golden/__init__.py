"""Records as the code of their format left them in Redis: today's code must read and end them.

`format1/NAME.json` has `keys`, every key with its type and value; `holding`, the hosts that held the group
then; `read`, what that code said of the operation; and `made_at`, when. They are made once, by `make.py`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, cast

import redis

from lockstep.worker.operation.model import OperationId
from lockstep.worker.record.redis import RedisStore

FOLDER = Path(__file__).parent


def save(client: redis.Redis, prefix: str) -> dict[str, Any]:
    """Return every key below a prefix, as JSON can hold it."""
    kept: dict[str, Any] = {}
    for key in sorted(cast(list[str], list(client.scan_iter(f"{prefix}*")))):
        kind = client.type(key)
        value: Any
        match kind:
            case "string":
                value = client.get(key)
            case "hash":
                value = client.hgetall(key)
            case "set":
                value = sorted(cast(set[str], client.smembers(key)))
            case "zset":
                value = dict(cast(list[tuple[str, float]], client.zrange(key, 0, -1, withscores=True)))
            case other:
                raise AssertionError(f"{key} is a {other!r}, which no format has")
        kept[key.removeprefix(prefix)] = {"type": kind, "value": value}
    return kept


def opened(path: Path, now: int) -> dict[str, Any]:
    """Return a file as if it had been made at `now`, in milliseconds; all with 13 digits are times."""
    text = path.read_text("utf-8")
    later = now - int(json.loads(text)["made_at"])
    moved: dict[str, Any] = json.loads(re.sub(r"\b\d{13}\b", lambda at: str(int(at[0]) + later), text))
    return moved


def load(client: redis.Redis, prefix: str, kept: dict[str, Any]) -> None:
    """Write every key as it was."""
    for name, entry in kept.items():
        value = entry["value"]
        match entry["type"]:
            case "string":
                client.set(prefix + name, value)
            case "hash":
                client.hset(prefix + name, mapping=value)
            case "set":
                client.sadd(prefix + name, *value)
            case "zset":
                client.zadd(prefix + name, value)


def read(store: RedisStore, operation: OperationId) -> dict[str, Any]:
    """Return what a store says of an operation, as JSON can hold it."""
    found = store.operation(operation)
    assert found is not None
    said = {
        "operation": dataclasses.asdict(found),
        "steps": [dataclasses.asdict(step) for step in store.steps(operation)],
    }
    loaded: dict[str, Any] = json.loads(json.dumps(said))
    return loaded
