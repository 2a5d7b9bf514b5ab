"""Run the transition scripts: `record.lua` before each and `serve.lua` after it, errors as Lockstep's own."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, cast

import redis

from worker.operation.errors import StoreFull, StoreUnavailable, UnknownFormat
from worker.operation.model import OperationId
from worker.store.gathering import Argument, Arguments, Gathering, Kind
from worker.store.keys import Keys
from worker.store.records import newer_format

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
    """Every transition script by its name, sent once and then called by its digest. Threads may share it.

    Calls that threads make while another is on its way to Redis are sent together: one round trip and one
    fsync for all, and one script run for those of one kind on one operation.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._texts: dict[str, tuple[str, str]] = {}
        self._gathering = Gathering(self._send)

    def strings(self, name: str, operation: OperationId, *arguments: Argument) -> list[str]:
        """Run a script that returns a list of strings."""
        return cast(list[str], self.run(name, operation, *arguments))

    def run(self, name: str, operation: OperationId, *arguments: Argument) -> object:
        """Run a script on one operation; a dropped connection is tried again, for each may be repeated."""
        with store_errors():
            return self._gathering.run((name, operation), arguments)

    def _send(self, calls: Mapping[Kind, Sequence[Arguments]]) -> dict[Kind, Sequence[object] | Exception]:
        kinds = list(calls)
        pipe = self._client.pipeline(transaction=False)
        for kind in kinds:
            pipe.evalsha(self._text(kind[0])[1], *self._arguments(kind, calls[kind]))
        replies = dict(zip(kinds, pipe.execute(raise_on_error=False), strict=True))
        for kind, reply in replies.items():
            if isinstance(reply, redis.exceptions.NoScriptError):
                replies[kind] = self._send_whole(kind, calls[kind])
        return replies

    def _send_whole(self, kind: Kind, calls: Sequence[Arguments]) -> Sequence[object] | Exception:
        try:
            return cast(
                list[object], self._client.eval(self._text(kind[0])[0], *self._arguments(kind, calls))
            )
        except redis.RedisError as error:
            return error

    def _arguments(self, kind: Kind, calls: Sequence[Arguments]) -> tuple[Any, ...]:
        keys = self._keys.for_transition(kind[1])
        flat = itertools.chain.from_iterable(calls)
        return (len(keys), *keys, self._keys.prefix, kind[1], len(calls), *flat)

    def _text(self, name: str) -> tuple[str, str]:
        """Return a script's text and its digest."""
        if name not in self._texts:
            record, body, serve = (_read(each) for each in ("record", name, "serve"))
            text = f"{record}\nlocal function transition(ARGV)\n{body}\nend\n{serve}"
            self._texts[name] = (text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        return self._texts[name]


def _read(name: str) -> str:
    return (files("worker.store") / "lua" / f"{name}.lua").read_text("utf-8")
