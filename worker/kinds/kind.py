"""A kind: how its things are named, what they may hold, and how what a host shows stands to an operation."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import quote, unquote

from lockstep.worker.kinds.exchange import asked
from lockstep.worker.kinds.expressions import expression
from lockstep.worker.kinds.file import PATTERN, PLACEHOLDER, VERBS, FieldFile, KindFile
from lockstep.worker.kinds.rules import read_file
from lockstep.worker.kinds.verbs import LookVerb, WriteVerb
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply
from lockstep.worker.operation.content import (
    Content,
    Id,
    Shown,
    Unreadable,
    WriteAnswer,
    canonical,
    read_json,
)
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show
from lockstep.worker.operation.thing import Likeness
from lockstep.worker.process.secrets import know

Verb = Literal["look", "create", "update", "delete"]
LONGEST_PART = 1024
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
UNDIGESTED = ("about", "error", "examples")


class Kind:
    """A kind of thing, as its file defines it. It never changes, and is safe to share between threads."""

    def __init__(self, file: str, text: str) -> None:
        """Read it. `file` is its path, for errors. Raises BadKind with all that is wrong with it."""
        self.file, self.source = file, text
        self.definition: KindFile
        self.definition, document = read_file(file, text)
        self.name = self.definition.kind
        self.fields: Mapping[str, FieldFile] = self.definition.fields
        self.secrets = frozenset(name for name, field in self.fields.items() if field.secret)
        """Names of the fields that can never be read."""
        self.sealed = any(field.secret or field.sensitive for field in self.fields.values())
        """Whether it has a field, or keeps a value, that must not lie in clear."""
        digested = {key: each for key, each in document.items() if key not in UNDIGESTED}
        self.digest = hashlib.sha256(canonical(digested).encode()).hexdigest()
        """Of the definition, in hexadecimal."""
        self.look = LookVerb(self.definition)
        self.writes = {
            verb: WriteVerb(self.definition, write)
            for verb in VERBS
            if (write := getattr(self.definition, verb))
        }
        self.methods = {verb: each.file.request.partition(" ")[0] for verb, each in self.writes.items()}

    def __repr__(self) -> str:
        return f"Kind({self.title})"

    @property
    def title(self) -> str:
        """`NAME@DIGEST`, with as much of the digest as people need."""
        return f"{self.name}@{self.digest[:8]}"

    def parse(self, text: str) -> Id:
        """Return `KIND/a/b`, its parts percent-encoded, as the one id that it means. Raises InvalidInput."""
        kind, *encoded = text.split("/")
        parts = self.definition.id.parts
        form = "/".join((self.name, *(part.upper() for part in parts)))
        if kind != self.name or len(encoded) != len(parts):
            raise InvalidInput(f"{show(text)} is no {form}: write / inside a part as %2F, and % as %25")
        values = {}
        for part, each in zip(parts, encoded, strict=True):
            if _ESCAPE.search(each):
                raise InvalidInput(f"{show(text)} has a % without two hexadecimal digits: write % as %25")
            try:
                values[part] = unquote(each, errors="strict")
            except UnicodeDecodeError:
                raise InvalidInput(f"{show(text)} has escapes that are no UTF-8") from None
        return self.named(values)

    def named(self, values: Mapping[str, str]) -> Id:
        """Return the id of these parts. Raises InvalidInput for a part that breaks a rule."""
        rules, found = self.definition.id, []
        for part in rules.parts:
            value = self._checked(part, values[part])
            if part in rules.canonical:
                value = self._in_canonical_form(part, value)
            pattern = rules.pattern if isinstance(rules.pattern, str) else rules.pattern.get(part, PATTERN)
            if not re.fullmatch(pattern, value):
                raise InvalidInput(f"{part} {show(value)} of {self.name} does not match {pattern}")
            found.append(value)
        return Id(self.name, tuple(rules.parts), tuple(found))

    def _in_canonical_form(self, part: str, given: str) -> str:
        formula = expression(self.definition.id.canonical[part])
        once = formula.value(given)
        if not isinstance(once, str) or formula.value(once) != once:
            raise InvalidInput(
                f"{self.file}: id.canonical.{part} gives no one form of {show(given)}: mend the file"
            )
        return self._checked(part, once)

    def _checked(self, part: str, value: str) -> str:
        noun = f"{part} {show(value)} of {self.name}"
        if value in ("", ".", ".."):
            raise InvalidInput(f"{noun} is empty, or a path segment that servers resolve away: use another")
        if len(value) > LONGEST_PART or _CONTROL.search(value):
            raise InvalidInput(f"{noun} has a control character, or more than {LONGEST_PART} characters")
        return value

    def lock(self, thing: Id) -> str:
        """Return what two operations must not touch at once."""
        if self.definition.lock is None:
            return thing.text
        parts = thing.parts
        return PLACEHOLDER.sub(lambda found: quote(parts[found[1]], safe=""), self.definition.lock)

    def read(self, field: str, text: str) -> object:
        """Return the value that a text on a command line means for a field. Raises InvalidInput."""
        kind, shown = self._field(field).type, self._field(field).shown(text)
        if kind in ("string", "base64"):
            return text
        if kind in ("list", "set") and not text.lstrip().startswith("["):
            return [each.strip() for each in text.split(",")] if text.strip() else []
        try:
            return read_json(text)
        except json.JSONDecodeError:
            if kind == "any":
                return text
        except Unreadable as error:
            raise InvalidInput(f"{self.name}: {field} {shown} cannot be used: {error}") from None
        raise InvalidInput(f"{self.name}: {field} {shown} is no {kind}: write it as JSON")

    def _field(self, name: str) -> FieldFile:
        field = self.fields.get(name)
        if field is None:
            known = ", ".join(self.fields) or "none: it is there, or it is not"
            raise InvalidInput(f"{self.name} has no field {show(name)}; its fields: {known}")
        return field

    def parted(
        self, given: Mapping[str, object], secrets: Mapping[str, str]
    ) -> tuple[dict[str, object], dict[str, object]]:
        """Return the plain and the secret fields of what is given openly, and as texts; InvalidInput."""
        for name in secrets:
            if not (self._field(name).secret or self._field(name).sensitive):
                raise InvalidInput(f"{self.name}: {name} is shown to people: give it with --set, openly")
        read = {name: self.read(name, text) for name, text in secrets.items()}
        hidden = {name: self._value(name, read.pop(name)) for name in self.secrets & read.keys()}
        return {**given, **read}, hidden

    def _value(self, name: str, given: object) -> object:
        return self._field(name).checked(f"{self.name}: {name}", given)

    def hidden(self, secret: Mapping[str, object], *contents: Content | None) -> list[str]:
        """Return the texts that nobody may be shown, of these secrets and contents."""
        values: list[object] = list(secret.values())
        for each in contents if self.sealed else ():
            if each is not None:
                values += [each.values.get(name) for name, field in self.fields.items() if field.sensitive]
                values += each.kept.values()
        return [text for value in values for text in _texts(value)]

    def target(self, given: Mapping[str, object], secrets: Iterable[str] = ()) -> Content:
        """Return the content that is asked for: what is given, checked, and defaults where nothing is.

        `secrets` names the secret fields that are given beside it. Raises InvalidInput.
        """
        found = {name: self._value(name, value) for name, value in given.items()}
        for name, field in self.fields.items():
            if name in found and field.secret:
                raise InvalidInput(
                    f"{self.name}: {name} is a secret: give it with --secret {name}=@FILE, in `secrets`, "
                    f"or to apply as {name}: {{file: PATH}}"
                )
            if name not in found and "default" in field.model_fields_set:
                found[name] = self._value(name, field.default)
            if field.required and name not in found and name not in secrets:
                raise InvalidInput(f"{self.name} needs {name}: give it")
        return Content(found)

    def request(
        self,
        verb: Verb,
        thing: Id,
        *,
        content: Content | None = None,
        secret: Mapping[str, object] | None = None,
        kept: Mapping[str, object] | None = None,
        shown: Content | None = None,
    ) -> HttpRequest:
        """Return what is to be sent over what a look has shown; `content` holds all fields to be written.

        What is secret or sensitive of it is masked from now on. Raises InvalidInput for what cannot be asked.
        """
        if verb == "look":
            return asked(self.definition.look, thing, {"id": thing.parts})
        if verb not in self.writes:
            raise InvalidInput(f"{self.name} cannot be changed: its file has no {verb}")
        values, given, over = {} if content is None else content.values, secret or {}, shown or Content()
        know(*self.hidden(given, content), passing=True)
        scope: dict[str, object] = {
            "id": thing.parts,
            "content": dict(values),
            "secret": dict(given),
            "kept": dict(kept or {}),
            "seen": over.item,
            "address": over.address,
            "version": over.version,
        }
        default = None
        if verb != "delete" and self.fields:
            default = {name: each for name, each in {**values, **given}.items() if each is not None}
        return asked(self.writes[verb].file, thing, scope, default)

    def shown(self, thing: Id, answer: Reply | NoReply, witness: Reply | NoReply | None = None) -> Shown:
        """Tell what a look showed. An absence that needs a witness tells nothing without its 2xx.

        What is sensitive of it, and what is kept beside secrets, is masked from now on.
        """
        found = self.look.shown(thing, answer, witness)
        know(*self.hidden({}, found.content), passing=True)
        return found

    def said(self, verb: Verb, thing: Id, answer: Reply | NoReply, hidden: Iterable[str] = ()) -> WriteAnswer:
        """Tell what came of a write; `hidden` are texts that the host's words must not show."""
        return self.writes[verb].said(thing, answer, hidden)

    def kept_for(self, verb: Verb) -> frozenset[str]:
        """Names of the kept values that a write sends: of an inverse, those that are compared too."""
        return self.writes[verb].kept if verb in self.writes else frozenset()

    def meets(self, target: Content | None, shown: Content | None) -> Likeness:
        """Tell whether a host shows the target, or what is like it; None is absent."""
        if target is None or shown is None:
            return Likeness.TARGET if target is shown else Likeness.OTHER
        differ = _differ(shown, target)
        if not differ:
            return Likeness.TARGET
        return Likeness.LIKE if all(self.fields[name].rewritten for name in differ) else Likeness.OTHER

    def fixed(self, shown: Content, target: Content) -> list[str]:
        """Name the fields that the target would change, and that can only be given when a thing is made."""
        return [name for name in _differ(shown, target) if self.fields[name].create_only]

    def loses(self, verb: Verb, secrets: Iterable[str] = ()) -> list[str]:
        """Say what undoing this verb would not bring back; `secrets` are those that are given."""
        if verb == "create":
            return []
        found = [text] if (text := self.writes[verb].file.loses) else []
        gone = self.secrets if verb == "delete" else secrets
        found += [f"its old {name}" for name in sorted(gone) if self.fields[name].kept_as is None]
        if self.definition.restore == "presence":
            found.append("what it held: only its presence is restored")
        return found


def _texts(value: object) -> list[str]:
    match value:
        case None | bool():
            return []
        case Mapping():
            return [text for each in value.values() for text in _texts(each)]
        case list() | tuple():
            return [text for each in value for text in _texts(each)]
    return [str(value)]


def _differ(shown: Content, target: Content) -> list[str]:
    pairs = ((name, shown.values.get(name), value) for name, value in target.values.items())
    return [name for name, one, other in pairs if canonical(one) != canonical(other)]
