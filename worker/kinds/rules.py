"""Read the file of a kind: every rule that it breaks is told at once, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lockstep.worker.kinds.exchange import asked_for, taken_by
from lockstep.worker.kinds.expressions import Expression, expressions
from lockstep.worker.kinds.file import BODIES, CLASSES, PLACEHOLDER, VERBS, KindFile, LookFile, WriteFile
from lockstep.worker.operation.content import canonical
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show
from lockstep.worker.settings.plainyaml import Place, parse_plain

NEVER_SET = (
    *("host", "authorization", "proxy-authorization", "cookie", "x-lockstep-attempt"),
    *("connection", "keep-alive", "upgrade", "te", "trailer", "transfer-encoding"),
    *("content-length", "content-encoding", "expect"),
)
"""Headers that are the host's, the carrier's or ours."""
NO_EVIDENCE = frozenset((401, 403, 407))
"""A host that answers so has not looked."""
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*")
_UNRESERVED = re.compile(r"%(?:2D|2E|5F|7E|3[0-9]|[46][1-9A-F]|[57][0-9A])")


@dataclass(frozen=True, slots=True)
class Fault:
    line: int
    place: str
    """Keys, with dots between."""
    rule: str

    def __str__(self) -> str:
        return f"{self.place} {self.rule}".lstrip()


class BadKind(InvalidInput):
    """The file of a kind breaks rules; nothing of it is used. The text names every one."""

    def __init__(self, file: str, faults: list[Fault]) -> None:
        self.file, self.faults = file, tuple(sorted(faults, key=lambda each: each.line))
        super().__init__(f"{file} {'; '.join(f'line {each.line}: {each}' for each in self.faults)}")


OF_PYDANTIC = ("[key]", "function-after[_pattern(), str]", "dict[str,function-after[_pattern(), str]]")


def read_file(file: str, text: str) -> tuple[KindFile, Mapping[str, Any]]:
    """Return a file and the document that it is. Raises BadKind, with everything that is wrong with it."""
    lines: dict[Place, int] = {}
    document = parse_plain(file, text, lines)
    try:
        canonical(document)
    except TypeError as error:  # a date, or a key that is no text
        rule = f"has a value or key that is no JSON ({error}): put it in quotes"
        raise BadKind(file, [Fault(1, "", rule)]) from None
    if not isinstance(document, dict):
        raise BadKind(file, [Fault(1, "", "holds no mapping: start it with `kind: NAME`")])

    def fault(place: Place, rule: str) -> Fault:
        known = next(lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in lines)
        return Fault(known, ".".join(str(each) for each in place), rule)

    try:
        found = KindFile.model_validate(_unfolded(document))
    except ValidationError as error:
        raise BadKind(file, [fault(*each) for each in _told(error.errors())]) from None
    if faults := [fault(place, rule) for place, rule in _broken(found)]:
        raise BadKind(file, faults)
    return found, document


def _unfolded(document: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the document with each verb that is `like` another written out."""
    found = dict(document)
    for _ in VERBS:  # a chain has at most three
        for verb in VERBS:
            own = found.get(verb)
            other = found.get(own.get("like")) if isinstance(own, dict) else None
            if isinstance(other, str):
                other = {"request": other}
            if isinstance(own, dict) and isinstance(other, dict) and other is not own and "like" not in other:
                under = {key: each for key, each in other.items() if key != "loses"}
                if any(key in own for key in BODIES):
                    under = {key: each for key, each in under.items() if key not in BODIES}
                found[verb] = {**under, **{key: each for key, each in own.items() if key != "like"}}
    return found


def _told(errors: list[Any]) -> Iterator[tuple[Place, str]]:
    """Yield the place and the rule of each; that what is no text is no mapping either is left out."""
    told = set[Place]()
    for error in errors:
        place = tuple(each for each in error["loc"] if each not in OF_PYDANTIC)
        if place in told and error["type"] == "dict_type":
            continue
        told.add(place)
        match error["type"]:
            case "extra_forbidden":
                yield place, "is not known here: docs/kinds.md has every key"
            case "missing":
                yield place[:-1], f"lacks `{place[-1]}`"
            case "value_error":
                yield place, str(error["ctx"]["error"])
            case "string_pattern_mismatch":
                yield place, f"is {show(error['input'])}: it must match {error['ctx']['pattern']}"
            case _:
                yield place, f"is {show(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _broken(kind: KindFile) -> Iterator[tuple[Place, str]]:
    """Yield every rule that a file of the right shape breaks."""
    yield from _broken_ids(kind)
    yield from _broken_fields(kind)
    yield from _broken_looks(kind)
    for verb in VERBS:
        write: WriteFile | None = getattr(kind, verb)
        if write is not None:
            yield from _broken_write(kind, verb, write)


def _broken_ids(kind: KindFile) -> Iterator[tuple[Place, str]]:
    parts = kind.id.parts
    if len(set(parts)) != len(parts) or "address" in parts:
        yield ("id", "parts"), "names a part twice, or one `address`: choose another name"
    for key in ("pattern", "canonical"):
        given = getattr(kind.id, key)
        for part in given if isinstance(given, dict) else ():
            if part not in parts:
                yield ("id", key, part), f"is no part of the id; parts: {', '.join(parts)}"
    for name in PLACEHOLDER.findall(kind.lock or ""):
        if name not in parts:
            yield ("lock",), f"names {{{name}}}, which is no part of the id"
    if kind.lock is not None and re.search(r"[\x00-\x20{}\x7f]", PLACEHOLDER.sub("", kind.lock)):
        yield ("lock",), "has a blank, a control character or a loose brace"


def _broken_fields(kind: KindFile) -> Iterator[tuple[Place, str]]:
    sent = taken_by(kind.create) | (taken_by(kind.update) if kind.update else set())
    for name, field in kind.fields.items():
        place = ("fields", name)
        if not name.isprintable() or not 0 < len(name) <= 128:
            yield place, "is no name: give 1 to 128 printable characters"
        if field.kept_as is not None and not field.secret:
            yield (*place, "kept_as"), "is for a secret: add `secret: true`"
        if field.kept_as is not None and field.kept_as not in kind.look.keep:
            yield (*place, "kept_as"), f"names {field.kept_as}, which look.keep has not"
        if field.secret and (field.sensitive or field.rewritten or "default" in field.model_fields_set):
            yield place, "is secret: it has no default, and is neither sensitive nor rewritten"
        if field.kept_as and not sent & {("kept", field.kept_as), ("kept", None)}:
            yield (*place, "kept_as"), f"restores nothing: no write sends kept.{field.kept_as}"
        if field.secret and name in kind.look.content:
            yield ("look", "content", name), "is secret: no look shows it"
        if field.pattern is not None and field.type not in ("string", "base64"):
            yield (*place, "pattern"), f"is for texts, and the field is of type {field.type}"
    for name in kind.look.content:
        if name not in kind.fields:
            yield ("look", "content", name), "is no field: add it to `fields`"


def _broken_looks(kind: KindFile) -> Iterator[tuple[Place, str]]:
    look = kind.look
    method = look.request.partition(" ")[0]
    if method not in ("GET", "HEAD") and not look.reads:
        rule = "add `reads: true` if it changes nothing, for plan and drift run it"
        yield ("look", "request"), f"is a {method}: {rule}"
    if look.witness and not look.witness.startswith("GET "):
        yield ("look", "witness"), "must be a GET"
    if method == "HEAD" and (look.keep or kind.fields):
        yield ("look", "request"), "is a HEAD, which shows no content: use GET, or drop fields and keep"
    for key in ("present", "absent", "busy"):
        for answer in getattr(look, key):
            if answer.status in NO_EVIDENCE or 300 <= answer.status < 400 or answer.status < 200:
                yield ("look", key), f"names {answer.status}, which tells nothing of a thing"
            elif answer.status >= 500 and (key != "busy" or answer.where is None):
                yield ("look", key), f"names {answer.status}: a 5xx can only be busy, and with `where`"
    yield from _broken_request(kind, "look", look)
    if look.witness:
        yield from _broken_path(kind, ("look", "witness"), look.witness, addressed=False)


def _broken_write(kind: KindFile, verb: str, write: WriteFile) -> Iterator[tuple[Place, str]]:
    if write.like is not None:
        yield (verb, "like"), f"names {write.like}, which is not there, or leads back here"
    if write.request.partition(" ")[0] in ("GET", "HEAD"):
        yield (verb, "request"), "is a GET or HEAD: caches and proxies may repeat those"
    seen = dict[int, str]()
    for key in CLASSES:
        took = key in ("applied", "replaced", "started")
        for answer in getattr(write, key) or ():
            status, bare = answer.status, answer.where is None
            if bare and key in write.model_fields_set and seen.setdefault(status, key) != key:
                rule = f"as {seen[status]} does: name it once; null is the default"
                yield (verb, key), f"names {status}, {rule}"
            if status < 200 or (300 <= status < 400 and status != 304) or (took and status in NO_EVIDENCE):
                yield (verb, key), f"names {status}, which can never mean that"
            elif bare and (status == 304 or status >= 500 or (200 <= status < 300) != took):
                yield (verb, key), f"names {status} without `where`: say what in the answer tells it"
    yield from _broken_request(kind, verb, write)
    named = {part for part in PLACEHOLDER.findall(write.request) if part in (*kind.id.parts, "address")}
    taken = [(name, inner) for name, inner in taken_by(write) if name in ("id", "address")]
    named |= {inner if name == "id" and inner else "address" for name, inner in taken}
    if lacking := [f"{{{part}}}" for part in kind.id.parts if part not in named and "address" not in named]:
        yield (verb,), f"does not say which: name {', '.join(lacking)} in its request"


def _broken_request(kind: KindFile, verb: str, request: LookFile | WriteFile) -> Iterator[tuple[Place, str]]:
    yield from _broken_path(kind, (verb, "request"), request.request, addressed=verb in ("update", "delete"))
    if sum(each is not None for each in (request.json_, request.form, request.text)) > 1:
        yield (verb,), "has more than one of json, form and text"
    for name in request.headers:
        if name.lower() in NEVER_SET or name.lower().startswith("proxy-"):
            yield (verb, "headers", name), "cannot be set by a kind"
        elif not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            yield (verb, "headers", name), "is no name of a header"
    asked: dict[str, list[str] | None] = {"id": kind.id.parts}
    if isinstance(request, WriteFile):
        fields = kind.fields.items()
        asked |= {
            "content": [name for name, field in fields if not field.secret],
            "secret": [name for name, field in fields if field.secret],
            "kept": list(kind.look.keep),
            "seen": None,
            "address": None,
            "version": None,
        }
    told: dict[str, list[str] | None] = {"id": kind.id.parts, "status": None, "headers": None, "body": None}
    if isinstance(request, LookFile):
        told["item"] = None
    for taken, known in ((asked_for(request), asked), (_read_from(request), told)):
        for expression in taken:
            for name, inner in expression.names():
                inside = known.get(name)
                if name not in known:
                    yield (verb,), f"takes {name}, which there is not here; there is {', '.join(known)}"
                elif inside is not None and inner is not None and inner not in inside:
                    yield (verb,), f"takes {name}.{inner}; {name} has {', '.join(inside) or 'nothing'}"
            for name, inner in expression.lost():
                if inner in (known.get(name) or ()):
                    rule = "inside a list, where it is that of an item: use select()"
                    yield (verb,), f"takes {name}.{inner} {rule}"


def _broken_path(
    kind: KindFile, place: Place, request: str, *, addressed: bool
) -> Iterator[tuple[Place, str]]:
    path = request.partition(" ")[2]
    for name in PLACEHOLDER.findall(path):
        if name == "address" and addressed and kind.look.address is not None:
            continue
        if name not in kind.id.parts:
            yield place, f"names {{{name}}}, which is no part of the id; parts: {', '.join(kind.id.parts)}"
    literal = PLACEHOLDER.sub("x", path)
    if not _LITERAL.fullmatch(literal) or _UNRESERVED.search(literal):
        rule = "write %XX, and the query under `query`"
        yield place, f"has a character that a path cannot have as it is: {rule}"
    if "//" in literal or any(part in (".", "..") for part in literal.split("/")):
        yield place, "has an empty segment, or one that servers resolve away (. or ..)"


def _read_from(request: LookFile | WriteFile) -> Iterator[Expression]:
    """Yield the expressions over the answers of a verb."""
    if isinstance(request, LookFile):
        named = [request.present, request.absent, request.busy]
        given: list[object] = [request.item, request.complete, request.address, request.version]
        given += [request.content, request.keep]
    else:
        named, given = [getattr(request, key) or [] for key in CLASSES], []
    given += [each.where for answers in named for each in answers]
    yield from expressions(given)
