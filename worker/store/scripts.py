"""Run the transition scripts: `record.lua` before each, errors as Lockstep's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import cast

import redis
from redis.commands.core import Script

from worker.operation.errors import StoreFull, StoreUnavailable, UnknownFormat
from worker.operation.model import OperationId
from worker.store.keys import Keys
from worker.store.records import newer_format

Argument = str | int | float
REFUSALS = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED", "MISCONF", "LOADING", "DB index", "invalid username")
_FORMAT_ERROR = "LOCKSTEPFORMAT"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what redis-py raises into StoreUnavailable, StoreFull or UnknownFormat."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
        raise StoreUnavailable(f"Redis refuses to serve: {error}") from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error
    except redis.exceptions.OutOfMemoryError as error:
        raise StoreFull("Redis is at its memory limit: raise maxmemory or drop old records") from error
    except redis.ReadOnlyError as error:
        raise StoreUnavailable(f"Redis takes no writes: {error}") from error
    except redis.ResponseError as error:
        text = str(error)
        if text.startswith(_FORMAT_ERROR):
            raise UnknownFormat(newer_format(text.rsplit(maxsplit=1)[-1])) from error
        if text.startswith(REFUSALS):
            raise StoreUnavailable(f"Redis refuses to serve: {text}") from error
        raise


class Scripts:
    """Every transition script by its name, registered once and called by its digest."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._scripts: dict[str, Script] = {}
        folder = files("worker.store") / "lua"
        self._record = (folder / "record.lua").read_text("utf-8")
        self._folder = folder

    def strings(self, name: str, operation: OperationId, *arguments: Argument) -> list[str]:
        """Run a script that returns a list of strings."""
        return cast(list[str], self.run(name, operation, *arguments))

    def run(self, name: str, operation: OperationId, *arguments: Argument) -> object:
        """Run a script on one operation; a dropped connection is tried again, for each may be repeated."""
        script = self._scripts.get(name)
        if script is None:
            body = (self._folder / f"{name}.lua").read_text("utf-8")
            script = self._client.register_script(f"{self._record}\n{body}")
            self._scripts[name] = script
        with store_errors():
            return script(
                keys=self._keys.for_transition(operation), args=[self._keys.prefix, operation, *arguments]
            )
