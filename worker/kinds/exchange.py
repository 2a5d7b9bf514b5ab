"""What is sent to a host, with every value encoded for its place, and what came back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote, urlencode

from lockstep.worker.kinds.expressions import (
    BadExpression,
    Expression,
    Null,
    Scope,
    expression,
    expressions,
    filled,
)
from lockstep.worker.kinds.file import PLACEHOLDER, AnswerFile, LookFile, WriteFile
from lockstep.worker.operation.answer import HttpRequest, Reply
from lockstep.worker.operation.content import Id, Unreadable, read_json, write_json
from lockstep.worker.operation.errors import InvalidInput

_NO_HEADER = re.compile(r"[^\x20-\x7e\t]")


def asked_for(request: LookFile | WriteFile) -> Iterator[Expression]:
    """Yield the expressions of the request of a verb."""
    return expressions([request.query, request.headers, request.json_, request.form, request.text])


def taken_by(request: LookFile | WriteFile) -> set[tuple[str, str | None]]:
    """Return what the request takes from its scope: names, each with the name inside it, if it says one."""
    return {pair for each in asked_for(request) for pair in each.names()}


def asked(file: LookFile | WriteFile, thing: Id, scope: Scope, default: object = None) -> HttpRequest:
    """Return the request of a verb; `default` is its body where the file names none. Raises InvalidInput."""
    method, _, path = file.request.partition(" ")
    try:
        body, kind = _body(file, scope, default)
        headers = {"Content-Type": kind} if kind else {}
        headers |= {name: _header(name, each) for name, each in filled(file.headers, scope).items()}
        path = path_of(path, thing, scope.get("address"))
        if query := _pairs(filled(file.query, scope)):
            path = f"{path}?{query}"
    except BadExpression as error:
        raise InvalidInput(f"{thing.kind}: {error}") from None
    return HttpRequest(method, path, headers, body)


def _body(file: LookFile | WriteFile, scope: Scope, default: object) -> tuple[bytes | None, str]:
    if file.text is not None:
        found = expression(file.text).value(scope)
        if not isinstance(found, str):
            raise BadExpression("`text` gives no text")
        return found.encode(), "text/plain; charset=utf-8"
    if file.form is not None:
        return _pairs(filled(file.form, scope)).encode(), "application/x-www-form-urlencoded"
    if file.json_ is None and default is None:
        return None, ""
    value = default if file.json_ is None else filled(file.json_, scope)
    return write_json(None if isinstance(value, Null) else value).encode(), "application/json"


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
    given = ((name, each if isinstance(each, list) else [each]) for name, each in values.items())
    return urlencode([(name, _scalar(name, one)) for name, each in given for one in each], quote_via=quote)


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
    is_json: bool = True


def body_of(reply: Reply) -> Body:
    if reply.body is None:
        return Body(flaw="the body is over the size cap")
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


def hold(answers: Iterable[AnswerFile], reply: Reply, body: Body, scope: Scope) -> bool:
    """Tell whether the answer is one of these; a body that tells nothing is never what `where` asks for.

    Raises BadExpression for a `where` that gives neither true nor false.
    """
    for each in answers:
        if each.status != reply.status or (each.where is not None and body.flaw is not None):
            continue
        if each.where is None:
            return True
        found = expression(each.where).value(scope)
        if not isinstance(found, bool):
            raise BadExpression(f"where {each.where[:80]!r} gave neither true nor false")
        if found:
            return True
    return False


def named(answers: Iterable[AnswerFile], reply: Reply) -> bool:
    """Tell whether one of these has the status of the answer."""
    return any(each.status == reply.status for each in answers)
