"""The nodes' own histories, read back: every call and every effect, and what a node held when.

What a host holds of a group is its presence; of a thing it is absence, or the content as a text.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.worker.operation.model import GroupId, HostName, Presence

Place = tuple[HostName, GroupId]
WRITES = ("POST", "DELETE")
AMBIGUOUS_STATUS = frozenset({408, 429, *range(500, 600)})
AMBIGUOUS_FAULT = frozenset({"malformed", "wrong_id"})
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Effect:
    """A change of one group on one host; times in Unix seconds."""

    host: HostName
    group: GroupId
    number: int
    at: float
    by_client: bool
    after: str
    attempt: str | None
    call: int


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is over, as its node saw it."""

    host: HostName
    number: int
    method: str
    group: GroupId | None
    arrived: float
    ended: float
    attempt: str | None
    ambiguous: bool
    fault: str | None


@dataclass(frozen=True, slots=True)
class History:
    """What happened on every host."""

    effects: Mapping[Place, tuple[Effect, ...]]
    """In the order in which they came about."""
    calls: tuple[Call, ...]

    def held(self, place: Place, at: float) -> str:
        """Tell what a host held of a group at a moment."""
        effects = self.effects.get(place, ())
        index = bisect_right([effect.at for effect in effects], at)
        return effects[index - 1].after if index else Presence.ABSENT

    @property
    def ambiguous(self) -> int:
        """How many writes had an answer, or none, that leaves their fate open."""
        return sum(call.ambiguous for call in self.calls)

    @property
    def late(self) -> int:
        """How many effects came after their client had left."""
        ended = {(call.host, call.number): call.ended for call in self.calls}
        every = (effect for effects in self.effects.values() for effect in effects)
        return sum(ended.get((each.host, each.call), float("inf")) < each.at for each in every)


def content_of(fields: Any) -> str:
    """Return the content of a thing as a text, in whatever form a host shows it."""
    return json.dumps({name: value.lower() for name, value in fields.items()}, sort_keys=True)


def read(paths: Mapping[HostName, Path]) -> History:
    """Read one file per host. A killed node's last line may be torn; no other line may."""
    effects: defaultdict[Place, list[Effect]] = defaultdict(list)
    calls: list[Call] = []
    for host, path in paths.items():
        for line in _lines(path):
            if line["line"] == "effect":
                effect = _effect(host, line)
                effects[host, effect.group].append(effect)
            elif line["line"] == "request" and line["actor"] == CLIENT:
                calls.append(_call(host, line))
    ordered = {place: tuple(sorted(found, key=lambda each: each.number)) for place, found in effects.items()}
    return History(ordered, tuple(calls))


def _lines(path: Path) -> Iterable[dict[str, object]]:
    for raw in path.read_text("utf-8").splitlines():
        try:
            yield json.loads(raw)
        except ValueError:
            continue  # cut off as its node was killed


def _effect(host: HostName, line: Mapping[str, object]) -> Effect:
    attempt = line["attempt"]
    return Effect(
        host,
        GroupId(str(line["group"])),
        int(str(line["effect_seq"])),
        float(str(line["effect_at"])),
        line["actor"] == CLIENT,
        str(line["after"]) if line.get("holds") is None else content_of(line["holds"]),
        None if attempt is None else str(attempt),
        int(str(line["seq"])),
    )


def _call(host: HostName, line: Mapping[str, object]) -> Call:
    status, fault, attempt = line["status"], line["fault"], line["attempt"]
    unanswered = line["end"] != "answered"
    open_fate = unanswered or status in AMBIGUOUS_STATUS or fault in AMBIGUOUS_FAULT
    return Call(
        host,
        int(str(line["seq"])),
        str(line["method"]),
        GroupId(str(line["group"])) if line["group"] else None,
        float(str(line["arrived"])),
        float(str(line["ended_at"])),
        None if attempt is None else str(attempt),
        line["method"] in WRITES and bool(open_fate),
        None if fault is None else str(fault),
    )
