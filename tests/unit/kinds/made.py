"""Kinds made of a few lines, and answers to give them."""

from __future__ import annotations

import json
from enum import StrEnum
from textwrap import dedent
from typing import Any

from lockstep.worker.kinds import kinds_of
from lockstep.worker.kinds.kind import Kind, Verb
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Content, Id

LEAST = """
kind: vhost
fields:
  description: {type: string, default: ""}
  tags: {type: set, default: []}
look:   GET /api/vhosts/{id}
create: PUT /api/vhosts/{id}
update: PUT /api/vhosts/{id}
delete: DELETE /api/vhosts/{id}
"""
HOSTILE = [
    "a/b",
    "%2F",
    "%2E%2E",
    "..a",
    'it\'s "so"',
    "a b+c&d=e?f#g;h",
    "äß→😀",
    "x" * 128,
    "a\\b",
    "[{",
    "a%",
    "~a!$'()*,:@",
    "[x]|<>^`{}",
]
"""Ids that ask for trouble."""
RECORD = """
kind: record
fields:
  ttl: {type: integer, default: 3600}
  values: {type: set, required: true, rewritten: true}
  note: {type: string}
look: GET /records/{id}
create: {request: "PUT /records/{id}", applied: 201, replaced: 204}
update: {request: "PUT /records/{id}", applied: 204, replaced: 201}
delete: DELETE /records/{id}
"""
"""A kind for steps: its hosts may keep what they are sent in a form of their own."""


def record(*values: str, ttl: int = 60, note: str | None = "mine") -> dict[str, Any]:
    """One of those, as its host has it."""
    return {"ttl": ttl, "values": list(values), "note": note}


def kind_of(text: str, file: str = "it.yaml") -> Kind:
    return Kind(file, dedent(text))


def least(**changed: str) -> Kind:
    """The least kind, with other lines for some keys, and more of them."""
    lines = {line.partition(":")[0]: line for line in LEAST.strip().splitlines() if not line.startswith(" ")}
    lines["fields"] += '\n  description: {type: string, default: ""}\n  tags: {type: set, default: []}'
    lines |= {key: f"{key}: {value}" for key, value in changed.items()}
    return kind_of("\n".join(lines.values()))


def thing(kind: Kind, text: str = "a") -> Id:
    return kind.parse(f"{kind.name}/{text}")


def reply(status: int, body: object = None, **headers: str) -> Reply:
    """An answer: bytes as they are, None for an empty body, anything else as JSON."""
    if isinstance(body, bytes):
        return Reply(status, body, headers=headers)
    return Reply(status, b"" if body is None else json.dumps(body).encode(), headers=headers)


def shipped(name: str) -> Kind:
    return kinds_of().find(name)


class Relation(StrEnum):
    """How what a host shows stands to an operation."""

    BEFORE = "before"
    TARGET = "target"
    LIKE = "like"
    FOREIGN = "other"


def relation(
    kind: Kind,
    before: Content | None,
    target: Content | None,
    shown: Content | None,
    as_seen: Content | None = None,
    inverse: Verb | None = None,
) -> Relation:
    """Tell how what a host shows stands to an operation; None is absent. What is both is `before`.

    `inverse` is the verb of the undo: the kept values that it sends are compared as well.
    """
    names = tuple(kind.kept_for(inverse) if inverse else ())
    if same(before, shown, names):
        return Relation.BEFORE
    if as_seen is not None and same(as_seen, shown):
        return Relation.TARGET
    return Relation(kind.meets(target, shown))


def same(one: Content | None, other: Content | None, kept: tuple[str, ...] = ()) -> bool:
    """Tell whether two looks showed the same, in all fields and in these kept values."""
    if one is None or other is None:
        return one is other
    return one.keeping(kept).text() == other.keeping(kept).text()


def content_of(kind: Kind, answer: Reply, text: str = "a") -> Content:
    shown = kind.shown(thing(kind, text), answer)
    assert shown.content is not None, shown
    return shown.content
