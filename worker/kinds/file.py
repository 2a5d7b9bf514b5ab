"""The file of a kind: its grammar, its rules, and every error in it with its line."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from lockstep.worker.kinds.expressions import expression, expressions
from lockstep.worker.operation.content import as_set, canonical, read_json
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import KIND, show

PART = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
PATTERN = "[A-Za-z0-9._-]{1,128}"
"""What a part of an id matches, unless its kind says otherwise."""
REQUEST = r"[A-Z]{3,10} /\S*"
VERBS = ("create", "update", "delete")
BODIES = ("json", "form", "text")
CLASSES = ("applied", "replaced", "contested", "refused", "later", "started")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _expression(text: str) -> str:
    expression(text)
    return text


def _template(given: object) -> object:
    list(expressions(given))
    return given


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


def _answers(given: object) -> object:
    listed = given if isinstance(given, list) else [given]
    return [{"status": each} if type(each) is int else each for each in listed]


def _short(given: object) -> object:
    return {"request": given} if isinstance(given, str) else given


def _seconds(given: object) -> object:
    return given.removesuffix("s") if isinstance(given, str) else given


class _Or:
    """Has the JSON Schema take a short form too: for a list, of each in it and of one by itself."""

    def __init__(self, **short: str) -> None:
        self._short = short

    def __get_pydantic_json_schema__(self, core: Any, schema_of: Any) -> dict[str, Any]:
        long = schema_of(core)
        one = [self._short, long.get("items", long)]
        return {"anyOf": [*one, {**long, "items": {"anyOf": one}}] if "items" in long else one}


Text = Annotated[str, Field(strict=True)]
Formula = Annotated[Text, AfterValidator(_expression)]
Filled = Annotated[Any, AfterValidator(_template)]
Regex = Annotated[Text, AfterValidator(_pattern)]
Call = Annotated[str, Field(pattern=f"^{REQUEST}$", strict=True)]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "base64": (str,),
    "integer": (int,),
    "number": (int, float, Decimal),
    "boolean": (bool,),
    "list": (list, tuple),
    "set": (list, tuple),
    "map": (dict,),
}


def _is_of(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if not isinstance(value, _TYPES[kind]):
        return False
    if kind == "base64":
        try:
            base64.b64decode(str(value), validate=True)
        except (binascii.Error, ValueError):
            return False
    return True


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class AnswerFile(_Model):
    """An answer of a host."""

    status: int = Field(ge=100, le=599, strict=True, description="The status.")
    where: Formula | None = Field(
        None,
        description="An expression that must give true or false; the answer is meant where it gives true.",
    )


Answers = Annotated[list[AnswerFile], BeforeValidator(_answers), _Or(type="integer")]


class IdFile(_Model):
    """How things of this kind are named."""

    parts: list[Annotated[str, Field(pattern=f"^{PART}$", strict=True)]] = Field(
        ["id"], min_length=1, max_length=8, description="Written `KIND/a/b`, each part percent-encoded."
    )
    pattern: Regex | dict[str, Regex] = Field(
        PATTERN,
        description="A regular expression that the whole of a part matches, for all parts or by part.",
    )
    canonical: dict[str, Formula] = Field(
        {},
        description="By part, an expression over `@` that gives its one form. Twice gives the same.",
    )


class FieldFile(_Model):
    """One field of a thing's content."""

    type: Literal["string", "integer", "number", "boolean", "list", "set", "map", "base64", "any"] = Field(
        "string", description="What its values are. A set has no order, and each value once."
    )
    default: Any = Field(
        None,
        description="Its value where none, or null, is given. Without one it stays as the host shows it.",
    )
    required: bool = Field(False, description="It must be given.")
    values: list[Any] | None = Field(None, description="The values that are allowed.")
    pattern: Regex | None = Field(None, description="A regular expression that the whole of a text matches.")
    create_only: bool = Field(False, description="A `set` that would change it is refused.")
    rewritten: bool = Field(False, description="Hosts may show it in another form than it was sent in.")
    sensitive: bool = Field(False, description="It can be read, is never shown to people, and is sealed.")
    secret: bool = Field(False, description="It can never be read.")
    kept_as: Text | None = Field(None, description="Of a secret: the entry of `look.keep` that restores it.")

    def shown(self, value: object) -> str:
        """Return a value as an error may quote it."""
        return "(not shown)" if self.sensitive or self.secret else show(value)

    def normal(self, value: object) -> object:
        """Return a value in its one form: the default for null, and a set in its one order."""
        if value is None and "default" in self.model_fields_set:
            value = self.default
        return as_set(value) if self.type == "set" and isinstance(value, list) else value

    def checked(self, noun: str, value: object) -> object:
        """Return a value that people give, in its one form. Raises InvalidInput."""
        if value is None and not self.required:
            return self.normal(None)
        noun = f"{noun} {self.shown(value)}"
        if self.type != "any" and not _is_of(self.type, value):
            raise InvalidInput(f"{noun} is no {self.type}")
        try:
            plain = self.normal(read_json(canonical(value)))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{noun} cannot be used: {error}") from None
        if self.values is not None and plain not in [self.normal(each) for each in self.values]:
            raise InvalidInput(f"{noun} is none of {', '.join(map(str, self.values))}")
        if self.pattern is not None and isinstance(plain, str) and not re.fullmatch(self.pattern, plain):
            raise InvalidInput(f"{noun} does not match {self.pattern}")
        return plain


class _Request(_Model):
    query: dict[str, Filled] = Field(
        {}, description="Template: the query of the URL. A list repeats its key."
    )
    headers: dict[str, Filled] = Field({}, description="Template: headers.")
    json_: Filled = Field(None, alias="json", description="Template: the body as JSON.")
    form: dict[str, Filled] | None = Field(None, description="Template: the body as a form.")
    text: Formula | None = Field(None, description="Expression: the body as plain text.")


class LookFile(_Request):
    """How a thing is looked at."""

    request: Call = Field(description="Method and path, such as `GET /path/{part}`.")
    reads: bool = Field(False, description="Needed for a method other than GET or HEAD: it changes nothing.")
    present: Answers = Field([AnswerFile(status=200)], description="Answers: it is there.")
    absent: Answers = Field([AnswerFile(status=404)], description="Answers: it is not.")
    witness: Call | None = Field(
        None, description="A GET that must answer 2xx whenever the thing looks absent."
    )
    busy: Answers = Field([], description="Answers: it is in transition. Look again; this counts as nothing.")
    item: Formula = Field(
        "body", description="The thing, or a list of at most one: an empty list, or null, is absent."
    )
    complete: Formula | None = Field(None, description="Must give true before an empty list means absent.")
    content: dict[str, Formula] = Field(
        {}, description="An expression for each field; by default the field of the same name in `item`."
    )
    keep: dict[str, Filled] = Field({}, description="Values that only a write back needs, by name.")
    address: Formula | None = Field(
        None, description="The server's id, for `{address}` in the paths of writes."
    )
    version: Formula | None = Field(None, description="The server's version, for the write that follows.")


def _or_like(schema: dict[str, Any]) -> None:
    """Have a schema of writes take one that starts from another verb, and has no request of its own."""
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["like"]}]


class WriteFile(_Request):
    """A write, and what its answers mean."""

    model_config = ConfigDict(json_schema_extra=_or_like)
    request: Call = Field(description="Method and path, such as `PUT /path/{part}`.")
    like: Literal["create", "update", "delete"] | None = Field(
        None, description="Start from this other verb."
    )
    applied: Answers = Field(
        [AnswerFile(status=each) for each in (200, 201, 204)], description="Answers: it took effect."
    )
    replaced: Answers = Field([], description="Answers: it took effect over something else.")
    contested: Answers | None = Field(
        None, description="Answers: it did nothing; a look tells why. By default every other 4xx."
    )
    refused: Answers = Field(
        [AnswerFile(status=each) for each in (401, 403, 405, 407)],
        description="Answers: it did nothing, and never will.",
    )
    later: Answers = Field(
        [AnswerFile(status=each) for each in (412, 423)],
        description="Answers: it did nothing; look and ask again. No write is counted.",
    )
    started: Answers = Field([AnswerFile(status=202)], description="Answers: it will take effect.")
    repeat: bool = Field(True, description="Whether a second write may be sent while one is open.")
    loses: Text | None = Field(None, description="What no restore brings back.")


class ExamplesFile(_Model):
    """An id and contents, for `kinds check`, tests and the mock."""

    id: Text | None = Field(None, description="As it is written behind `KIND/`.")
    contents: list[dict[str, Any]] = Field([], max_length=8, description="Two contents, secrets included.")


Look = Annotated[LookFile, BeforeValidator(_short), _Or(type="string", pattern=f"^{REQUEST}$")]
Write = Annotated[WriteFile, BeforeValidator(_short), _Or(type="string", pattern=f"^{REQUEST}$")]


class KindFile(_Model):
    """A kind of thing, and the HTTP calls that look at, make, change and remove one."""

    model_config = ConfigDict(title="A kind of Lockstep")
    kind: Annotated[str, Field(pattern=f"^{KIND}$", strict=True)] = Field(
        description="Its name. The file is named after it."
    )
    about: Text | None = Field(None, description="One line for people.")
    id: IdFile = Field(IdFile(), description="How things of this kind are named.")
    lock: Text | None = Field(
        None, description="Text with `{part}`: kinds that touch one thing share it. By default kind and id."
    )
    fields: dict[str, FieldFile] = Field(
        {}, description="The content, by field. Without fields, being there is all of it."
    )
    look: Look = Field(description="How a thing is looked at; its request alone is enough.")
    create: Write = Field(description="How one is made; its request alone is enough.")
    update: Write | None = Field(None, description="How one is changed; without it there is no `set`.")
    delete: Write = Field(description="How one is removed; its request alone is enough.")
    restore: Literal["exact", "presence"] = Field(
        "exact", description="What an undo brings back; with `presence`, differences are named as lost."
    )
    settle: Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86_400)] | None = Field(
        None,
        description="Seconds until a write has landed or never will, if longer than the setting.",
    )
    error: Formula | None = Field(None, description="Why a write was refused, for people.")
    examples: ExamplesFile = Field(ExamplesFile(), description="For `kinds check`, tests and the mock.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **KindFile.model_json_schema()}
