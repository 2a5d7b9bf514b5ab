"""What really happened on every node: each request, each effect, in order.

The file is JSON lines of four types, told apart by `line`:

`effect`    a node's groups changed, written at that moment, before anything is answered: seq, node,
            effect_seq, effect_at, actor, method, group, before, after, holds, fault, attempt.
`request`   a request is over (see `end`): every field of `Record`. A delayed effect may come later still;
            then its `effect` line follows, with the same seq, and the `request` line has `effect_at: null`.
`node`      a node went `down` or came `up`: node, event, at.
`reset`     everything was cleared: at.

`seq` numbers the requests of all nodes by arrival; `effect_seq` the changes of one node, without gaps.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from lockstep.mock_api.faults import InputError

LIMIT = 200_000
"""Records kept in memory, the oldest dropped first: about 100 MB, hours of a busy cluster."""


GroupPresence = Literal["absent", "present"]


class CallEnd(StrEnum):
    """How a request ended; `left`: its connection did first, by the client or as the node went down."""

    ANSWERED = "answered"
    RESET = "reset"
    LEFT = "left"


@dataclass(slots=True)
class Record:
    """One request. Times are Unix seconds; `before` and `after` are null if it never reached the groups."""

    seq: int = field(default=0, kw_only=True)
    """Its number, once it is in a history."""
    node: str
    actor: str = field(default="client", kw_only=True)
    method: str
    group: str | None
    arrived: float = field(default_factory=time.time, kw_only=True)
    body: JsonValue = None
    attempt: str | None = None
    fault: str | None = None
    effect_at: float | None = None
    effect_seq: int | None = None
    before: GroupPresence | None = None
    after: GroupPresence | None = None
    holds: JsonValue = None
    """The fields of a thing of a kind from now on."""
    status: int | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    end: CallEnd | None = None

    def request(self) -> dict[str, JsonValue]:
        return {"line": "request", **{name: getattr(self, name) for name in FIELDS}}

    def effect(self) -> dict[str, JsonValue]:
        names = "seq node effect_seq effect_at actor method group before after holds fault attempt"
        return {"line": "effect", **{name: getattr(self, name) for name in names.split()}}


FIELDS = tuple(each.name for each in fields(Record))


class History:
    """Records in memory, and lines in a file when one was named."""

    def __init__(self, path: Path | None = None) -> None:
        self._records: deque[Record] = deque(maxlen=LIMIT)
        self._file: int | None = None
        self._next = 1
        self._oldest_live = 1
        self.last_effects: dict[str, int] = {}
        if path is not None:
            self._continue(path)

    def _continue(self, path: Path) -> None:
        """Append to a file that may hold an earlier process's lines, numbering on from them."""
        try:
            text = path.read_text("utf-8") if path.exists() else ""
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f'--history "{path}" cannot be written: {error.strerror}; name another'
            ) from None
        if text and not text.endswith("\n"):
            os.write(self._file, b"\n")
        for raw in text.splitlines():
            try:
                line = json.loads(raw)
            except ValueError:
                continue  # the torn last line of a killed process
            self._next = max(self._next, line.get("seq", 0) + 1)
            if line.get("line") == "effect":
                self.last_effects[line["node"]] = line["effect_seq"]
        self._oldest_live = self._next

    def open(self, record: Record) -> Record:
        """Take up a request, under the next number."""
        record.seq = self._next
        self._next += 1
        self._records.append(record)
        return record

    def close(self, record: Record, end: CallEnd, status: int | None = None) -> None:
        """End a request: answered with a status, reset by us, or left by its client."""
        record.end, record.status, record.ended_at = end, status, time.time()
        record.answered_at = record.ended_at if end is CallEnd.ANSWERED else None
        if self._file is not None and record.seq >= self._oldest_live:
            self.write(record.request())

    def node_event(self, node: str, event: str) -> None:
        self.write({"line": "node", "node": node, "event": event, "at": time.time()})

    def clear(self) -> None:
        """Forget every record. Numbers go on; requests still open leave no line."""
        self._records.clear()
        self._oldest_live = self._next
        self.write({"line": "reset", "at": time.time()})

    def select(self, node: str | None = None, group: str | None = None, since: int = 0) -> Iterator[Record]:
        """Yield the records after number `since`, oldest first, of one node or group when named."""
        for record in list(self._records):
            if record.seq > since and node in (None, record.node) and group in (None, record.group):
                yield record

    def write(self, line: dict[str, JsonValue]) -> None:
        # One unbuffered write per line: what was written stays, though the process be killed right after.
        if self._file is not None:
            os.write(self._file, json.dumps(line).encode() + b"\n")
