"""Kinds made of a few lines, and answers to give them."""

from __future__ import annotations

import json
from textwrap import dedent

from lockstep.worker.kinds import Kind, find
from lockstep.worker.operation.answer import Reply
from lockstep.worker.operation.content import Id

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
    return find(name)
