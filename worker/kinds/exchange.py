"""What is sent to a host, with every value encoded for its place, and what came back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from lockstep.worker.kinds.expressions import BadExpression, Expression, Null, Scope, Template
from lockstep.worker.kinds.file import PLACEHOLDER, AnswerFile, LookFile, WriteFile
from lockstep.worker.operation.answer import Reply, Request
from lockstep.worker.operation.content import Id, Unreadable, read_json, write_json
from lockstep.worker.operation.errors import InvalidInput

_NO_HEADER = re.compile(r"[^\x20-\x7e\t]")


class Asking:
    """Makes the requests of one verb."""

    def __init__(self, file: LookFile | WriteFile) -> None:
        self._method, _, self._path = file.request.partition(" ")
        self._query, self._headers = Template(file.query), Template(file.headers)
        self._form = None if file.form is None else Template(file.form)
        self._json = None if file.json_ is None else Template(file.json_)
        self._text = None if file.text is None else Expression(file.text)
        self.has_body = any(each is not None for each in (self._form, self._json, self._text))

    def make(self, thing: Id, scope: Scope, default: object = None) -> Request:
        """Return the request; `default` is its body where the file names none. Raises InvalidInput."""
        try:
            body, kind = self._body(scope, default)
            headers = {"Content-Type": kind} if kind else {}
            headers |= {name: _header(name, each) for name, each in filled(self._headers, scope).items()}
            path = path_of(self._path, thing, scope.get("address"))
            if query := _pairs(filled(self._query, scope)):
                path = f"{path}?{query}"
        except BadExpression as error:
            raise InvalidInput(f"{thing.kind}: {error}") from None
        return Request(self._method, path, headers, body)

    def _body(self, scope: Scope, default: object) -> tuple[bytes | None, str]:
        if self._text is not None:
            found = self._text.value(scope)
            if not isinstance(found, str):
                raise BadExpression("`text` gives no text")
            return found.encode(), "text/plain; charset=utf-8"
        if self._form is not None:
            return _pairs(filled(self._form, scope)).encode(), "application/x-www-form-urlencoded"
        if self._json is None and default is None:
            return None, ""
        value = default if self._json is None else self._json.value(scope)
        return write_json(None if isinstance(value, Null) else value).encode(), "application/json"


def filled(template: Template, scope: Scope) -> dict[str, object]:
    found = template.value(scope)
    assert isinstance(found, dict)
    return found


def path_of(template: str, thing: Id, address: object) -> str:
    """Return a path with its parts, percent-encoded. Raises BadExpression for what no path can have."""
    parts: dict[str, object] = {**thing.parts, "address": address}
    return PLACEHOLDER.sub(lambda found: _segment(found[1], parts[found[1]]), template)


def _segment(name: str, value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text in ("", ".", "..") or re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise BadExpression(f"{{{name}}} is nothing that a path can have")
    return quote(text, safe="")


def _pairs(values: Mapping[str, object]) -> str:
    listed = [
        (name, one) for name, each in values.items() for one in (each if isinstance(each, list) else [each])
    ]
    return "&".join(f"{quote(name, safe='')}={quote(_scalar(name, each), safe='')}" for name, each in listed)


def _scalar(name: str, value: object) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float() | Decimal():
            return write_json(value)
        case None:
            return ""
    raise BadExpression(f"{name} gives no text or number")


def _header(name: str, value: object) -> str:
    text = _scalar(name, value)
    if _NO_HEADER.search(text) or text != text.strip():
        raise BadExpression(f"header {name} has a character that headers cannot carry")
    return text


@dataclass(frozen=True, slots=True)
class Body:
    """What came in an answer's body: a value, or why it tells nothing."""

    value: object = None
    flaw: str | None = None
    oversized: bool = False
    is_json: bool = True


def body_of(reply: Reply) -> Body:
    if reply.body is None:
        return Body(flaw="the body is over the size cap", oversized=True)
    if not reply.body.strip():
        return Body()
    try:
        # As json itself reads it: UTF-8, with a byte order mark or without, UTF-16 or UTF-32.
        text = reply.body.decode(json.detect_encoding(reply.body))
    except UnicodeDecodeError:
        return Body(flaw="the body is not UTF-8")
    try:
        return Body(read_json(text))
    except json.JSONDecodeError:
        return Body(text, is_json=False)
    except Unreadable as error:
        return Body(flaw=f"the body tells nothing: {error}")


def scope_of(thing: Id, reply: Reply, body: Body) -> dict[str, object]:
    """Return what expressions over an answer see."""
    return {"id": thing.parts, "status": reply.status, "headers": dict(reply.headers), "body": body.value}


class Answers:
    """A list of answers, and which of them came."""

    def __init__(self, given: Iterable[AnswerFile]) -> None:
        self._rules = [(each.status, Expression(each.where) if each.where else None) for each in given]
        self.statuses = frozenset(status for status, _ in self._rules)

    def hold(self, reply: Reply, body: Body, scope: Scope) -> bool:
        """Tell whether the answer is one of these; a body that tells nothing is never what `where` asks for.

        Raises BadExpression for a `where` that gives neither true nor false.
        """
        for status, where in self._rules:
            if status != reply.status or (where is not None and body.flaw is not None):
                continue
            found = True if where is None else where.value(scope)
            if where is not None and not isinstance(found, bool):
                raise BadExpression(f"where {where.text[:80]!r} gave neither true nor false")
            if found:
                return True
        return False
