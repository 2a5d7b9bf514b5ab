"""Faults as data: which kinds there are, what a rule may say, what each does to a call; and latencies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]


class Latency(BaseModel):
    """Exactly one of three distributions, all in milliseconds; a bare number is read as `fixed`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    fixed: Milliseconds | None = None
    """Always the same."""
    uniform: tuple[Milliseconds, Milliseconds] | None = None
    """Anywhere from the first to the second, evenly."""
    choices: tuple[tuple[float, Milliseconds], ...] | None = None
    """Pairs of probability and milliseconds; what the probabilities leave over is no latency at all."""

    @model_validator(mode="before")
    @classmethod
    def _number_is_fixed(cls, value: object) -> object:
        return {"fixed": value} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("fixed", "uniform", "choices") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a latency is one of fixed, uniform, choices; got {' and '.join(given) or 'none'}"
            )
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform goes from the smaller to the larger number")
        if self.choices is not None:
            shares = [share for share, _ in self.choices]
            if min(shares, default=0) < 0 or sum(shares) > 1 + 1e-9:
                raise ValueError("the probabilities of choices are 0 or more and make up 1 at most")
        return self

    def seconds(self, draw: float) -> float:
        """Turn a random number from [0, 1) into seconds."""
        if self.fixed is not None:
            return self.fixed / 1000
        if self.uniform is not None:
            low, high = self.uniform
            return (low + (high - low) * draw) / 1000
        edge = 0.0
        for share, milliseconds in self.choices or ():
            edge += share
            if draw < edge:
                return milliseconds / 1000
        return 0.0


Seconds = Annotated[float, Field(ge=0, le=86_400, description="seconds")]


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    DELETE = "DELETE"


WRITES = frozenset({Method.POST, Method.DELETE})


class Kind(StrEnum):
    """What goes wrong. `down` and `latency` concern the whole node; every other kind one call."""

    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    HANG_BEFORE = "hang_before"
    HANG_AFTER = "hang_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    MALFORMED = "malformed"
    WRONG_ID = "wrong_id"
    DELAYED = "delayed"
    IGNORE = "ignore"
    REWRITE = "rewrite"
    REFUSE = "refuse"
    THROTTLE = "throttle"
    REDIRECT = "redirect"
    ANSWER = "answer"
    DOWN = "down"
    LATENCY = "latency"


class Form(StrEnum):
    """What the client is sent in the end."""

    REAL = "real"
    STATUS = "status"
    RESET = "reset"
    HTML = "html"
    WRONG_ID = "wrong_id"


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind's behaviour: whether the call takes effect, how it is answered, which parameters it takes."""

    lands: bool
    form: Form
    status: int = 500
    takes: frozenset[str] = frozenset()


SHAPES: dict[Kind, Shape] = {
    Kind.ERROR_BEFORE: Shape(False, Form.STATUS, 500, frozenset({"status"})),
    Kind.ERROR_AFTER: Shape(True, Form.STATUS, 500, frozenset({"status"})),
    Kind.HANG_BEFORE: Shape(False, Form.STATUS, 504, frozenset({"seconds", "status"})),
    Kind.HANG_AFTER: Shape(True, Form.REAL, takes=frozenset({"seconds"})),
    Kind.RESET_BEFORE: Shape(False, Form.RESET),
    Kind.RESET_AFTER: Shape(True, Form.RESET),
    Kind.MALFORMED: Shape(True, Form.HTML, takes=frozenset({"body"})),
    Kind.WRONG_ID: Shape(True, Form.WRONG_ID),
    Kind.DELAYED: Shape(True, Form.REAL, takes=frozenset({"seconds", "answers"})),
    Kind.IGNORE: Shape(True, Form.REAL),
    Kind.REWRITE: Shape(True, Form.REAL),
    Kind.REFUSE: Shape(False, Form.STATUS, 403, frozenset({"status"})),
    Kind.THROTTLE: Shape(False, Form.STATUS, 429, frozenset({"status", "retry_after"})),
    Kind.REDIRECT: Shape(False, Form.STATUS, 307, frozenset({"status", "location"})),
    Kind.ANSWER: Shape(False, Form.STATUS, 200, frozenset({"status", "body"})),
    Kind.DOWN: Shape(False, Form.RESET, takes=frozenset({"seconds"})),
    Kind.LATENCY: Shape(True, Form.REAL, takes=frozenset({"latency"})),
}
NODE_LEVEL = frozenset({Kind.DOWN, Kind.LATENCY})
FILTERS = frozenset({"probability", "methods", "group", "times", "after"})
# A rule of these kinds that names no methods is about writes: "refuse this group" must not blind a GET to it.
WRITES_ONLY = frozenset({Kind.DELAYED, Kind.IGNORE, Kind.REWRITE, Kind.REFUSE})


class Rule(BaseModel):
    """One fault, when it strikes, and its parameters. Counters run per node: `times: 1` is once on each."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Kind
    node: str | None = None
    """Only this node; absent: every node the rule is given to."""
    probability: float = Field(default=1.0, ge=0, le=1)
    """Share of the matching calls. The rules of a node take adjoining shares, in order, of one die a call."""
    methods: tuple[Method, ...] | None = Field(default=None, min_length=1)
    """Only these; absent: writes for `delayed`, `ignore`, `rewrite` and `refuse`, else every method."""
    group: str | None = Field(default=None, min_length=1)
    """Only this group id; a trailing * matches any ending."""
    times: int | None = Field(default=None, ge=1)
    """Strike at most so many calls, then never again."""
    after: int = Field(default=0, ge=0)
    """Let the first so many matching calls pass."""
    seconds: Seconds | None = None
    """hang_*: answer so late (absent: never). delayed: the effect comes so late. down: up again so late."""
    status: int | None = Field(default=None, ge=200, le=599)
    """The status to answer, for the kinds that answer one."""
    answers: bool = False
    """delayed: whether the call is answered once its effect has come, or hangs until the client leaves."""
    retry_after: int | str | None = None
    """throttle: the Retry-After header, in seconds or as an HTTP date; 1 when absent."""
    location: str | None = None
    """redirect: the Location header; /elsewhere/ when absent."""
    body: JsonValue = None
    """answer, malformed: the body to send; a string is sent as it is, anything else as JSON."""
    latency: Latency | None = None
    """latency: the node's new latency."""

    @model_validator(mode="after")
    def _only_what_the_kind_takes(self) -> Self:
        takes = SHAPES[self.kind].takes | {"kind", "node"}
        if self.kind not in NODE_LEVEL:
            takes |= FILTERS
        for field in sorted(self.model_fields_set - takes):
            raise ValueError(f'"{field}" does not go with {self.kind}; it takes {", ".join(sorted(takes))}')
        if self.kind is Kind.DELAYED and self.seconds is None:
            raise ValueError('delayed needs "seconds", how late the effect comes')
        if self.kind is Kind.LATENCY and self.latency is None:
            raise ValueError('latency needs "latency", such as {"fixed": 20}')
        return self

    def matches(self, method: Method, group: str | None) -> bool:
        """Tell whether this rule is about such a call."""
        methods = self.methods or (WRITES if self.kind in WRITES_ONLY else tuple(Method))
        if method not in methods:
            return False
        if self.group is None:
            return True
        if group is None:
            return False
        return group.startswith(self.group[:-1]) if self.group.endswith("*") else group == self.group


@dataclass(frozen=True, slots=True)
class Script:
    """The course of one call, in seconds. `None` is for ever: until the client leaves."""

    form: Form = Form.REAL
    lands: bool = True
    lands_after: float = 0.0
    answers_after: float | None = 0.0
    status: int = 500


def script(rule: Rule | None) -> Script:
    """Say what a call does under a rule, or without one."""
    if rule is None:
        return Script()
    shape = SHAPES[rule.kind]
    lands_after: float = 0.0
    answers_after: float | None = 0.0
    if rule.kind in (Kind.HANG_BEFORE, Kind.HANG_AFTER):
        answers_after = rule.seconds
    elif rule.kind is Kind.DELAYED:
        lands_after, answers_after = rule.seconds or 0.0, 0.0 if rule.answers else None
    return Script(shape.form, shape.lands, lands_after, answers_after, rule.status or shape.status)
