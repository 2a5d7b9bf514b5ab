"""Faults as data: kinds, what a rule may say, what each does to a call, and which strikes; and latencies.

What is wrong with one that a person gave is told in one line.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
BETWEEN_BYTES = 0.001
"""Seconds."""


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    DELETE = "DELETE"


class Form(StrEnum):
    """What the client is sent in the end."""

    REAL = "real"
    STATUS = "status"
    RESET = "reset"
    HTML = "html"
    WRONG_ID = "wrong_id"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Script:
    """The course of one call, in seconds. `None` is for ever: until the client leaves."""

    form: Form = Form.REAL
    lands: bool = True
    lands_after: float = 0.0
    answers_after: float | None = 0.0
    pause: float = BETWEEN_BYTES
    """Of an answer that comes byte by byte, before one of them."""
    status: int = 500
    takes: tuple[str, ...] = field(default=(), compare=False)
    """Which parameters a rule that asks for it may have."""


class FaultKind(StrEnum):
    """What goes wrong. `down` and `latency` concern the whole node; every other kind one call."""

    _value_: str
    course: Script
    """What a call does under a rule of this kind without parameters."""

    def __new__(cls, value: str, course: Script) -> Self:
        made = str.__new__(cls, value)
        made._value_, made.course = value, course
        return made

    ERROR_BEFORE = "error_before", Script(Form.STATUS, lands=False, takes=("status",))
    ERROR_AFTER = "error_after", Script(Form.STATUS, takes=("status",))
    HANG_BEFORE = "hang_before", Script(Form.STATUS, lands=False, status=504, takes=("seconds", "status"))
    HANG_AFTER = "hang_after", Script(Form.REAL, takes=("seconds",))
    RESET_BEFORE = "reset_before", Script(Form.RESET, lands=False)
    RESET_AFTER = "reset_after", Script(Form.RESET)
    MALFORMED = "malformed", Script(Form.HTML, takes=("body",))
    WRONG_ID = "wrong_id", Script(Form.WRONG_ID)
    DRIBBLE = "dribble", Script(Form.BYTES, takes=("seconds",))
    DELAYED = "delayed", Script(Form.REAL, takes=("seconds", "answers"))
    IGNORE = "ignore", Script(Form.REAL)
    REWRITE = "rewrite", Script(Form.REAL)
    REFUSE = "refuse", Script(Form.STATUS, lands=False, status=403, takes=("status",))
    THROTTLE = "throttle", Script(Form.STATUS, lands=False, status=429, takes=("status", "retry_after"))
    REDIRECT = "redirect", Script(Form.STATUS, lands=False, status=307, takes=("status", "location"))
    ANSWER = "answer", Script(Form.STATUS, lands=False, status=200, takes=("status", "body"))
    DOWN = "down", Script(Form.RESET, lands=False, takes=("seconds",))
    LATENCY = "latency", Script(Form.REAL, takes=("latency",))


NODE_LEVEL = frozenset({FaultKind.DOWN, FaultKind.LATENCY})
FILTERS = frozenset({"probability", "methods", "group", "times", "after"})
# A rule of these kinds that names no methods is about writes: "refuse this group" must not blind a GET to it.
WRITES_ONLY = frozenset({FaultKind.DELAYED, FaultKind.IGNORE, FaultKind.REWRITE, FaultKind.REFUSE})


class Rule(BaseModel):
    """One fault, when it strikes, and its parameters. Counters run per node: `times: 1` is once on each."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: FaultKind
    node: str | None = None
    """Only this node; absent: every node the rule is given to."""
    probability: float = Field(default=1.0, ge=0, le=1)
    """Share of the matching calls. The rules of a node take adjoining shares, in order, of one die a call."""
    methods: tuple[Method, ...] | None = Field(default=None, min_length=1)
    """Only these; absent: writes for `delayed`, `ignore`, `rewrite` and `refuse`, else every method."""
    group: str | None = Field(default=None, min_length=1)
    """Only this group id; a trailing * matches any ending."""
    times: int | None = Field(default=None, ge=1)
    """Calls that it strikes at most."""
    after: int = Field(default=0, ge=0)
    """Matching calls that pass first."""
    seconds: Seconds | None = None
    """hang_*: answer so late (absent: never). delayed: the effect comes so late. dribble: the answer stands
    still for so long. down: up again so late."""
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
        takes = {"kind", "node", *self.kind.course.takes}
        if self.kind not in NODE_LEVEL:
            takes |= FILTERS
        for other in sorted(self.model_fields_set - takes):
            raise ValueError(f'"{other}" does not go with {self.kind}; it takes {", ".join(sorted(takes))}')
        if self.kind is FaultKind.DELAYED and self.seconds is None:
            raise ValueError('delayed needs "seconds", how late the effect comes')
        if self.kind is FaultKind.LATENCY and self.latency is None:
            raise ValueError('latency needs "latency", such as {"fixed": 20}')
        return self

    def matches(self, method: Method, group: str | None) -> bool:
        fits = self.kind not in WRITES_ONLY or method is not Method.GET
        if not (method in self.methods if self.methods else fits):
            return False
        if self.group is None or group is None:
            return self.group is None
        return group.startswith(self.group[:-1]) if self.group.endswith("*") else group == self.group


def script(rule: Rule | None) -> Script:
    """Say what a call does under a rule, or without one."""
    if rule is None:
        return Script()
    course = replace(rule.kind.course, status=rule.status or rule.kind.course.status)
    if rule.kind in (FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER):
        return replace(course, answers_after=rule.seconds)
    if rule.kind is FaultKind.DRIBBLE:
        return replace(course, pause=rule.seconds or course.pause)
    if rule.kind is FaultKind.DELAYED:
        return replace(course, lands_after=rule.seconds or 0.0, answers_after=0.0 if rule.answers else None)
    return course


@dataclass(slots=True)
class ArmedRule:
    rule: Rule
    seen: int = 0
    """Calls that matched it."""
    fired: int = 0
    """Calls that it struck."""


@dataclass(frozen=True, slots=True)
class Draw:
    rule: Rule | None
    delay: float


class FaultPlan:
    """The rules and the die of one node.

    Every call draws exactly two numbers, one to choose a fault and one for the latency, from a generator
    seeded by (seed, node name). So the n-th call on a node always draws the same two, whatever the rules are
    and whatever other nodes do. The rules take adjoining slices of the first number, so their probabilities
    are shares of all matching calls: 0.1 and 0.2 leave 0.7 of them alone.
    """

    def __init__(self, seed: int, node: str) -> None:
        self._seed = f"{seed}/{node}"
        self.reset()

    def reset(self) -> None:
        """Forget rules and latency, and begin the sequence of numbers again."""
        self._dice = random.Random(self._seed)
        self.armed: list[ArmedRule] = []
        self.latency: Latency | None = None

    def replace(self, rules: Iterable[Rule], *, keep: bool = False) -> None:
        """Put these rules, their counters at zero, in place of all others, or after them."""
        self.armed = [*(self.armed if keep else ()), *map(ArmedRule, rules)]

    def draw(self, method: Method, group: str | None) -> Draw:
        """Decide about the next call. Counts it."""
        chance, slowness = self._dice.random(), self._dice.random()
        chosen: Rule | None = None
        edge = 0.0
        for armed in self.armed:
            rule = armed.rule
            if not rule.matches(method, group):
                continue
            armed.seen += 1
            spent = rule.times is not None and armed.fired >= rule.times
            if chosen is not None or spent or armed.seen <= rule.after:
                continue
            edge += rule.probability
            if chance < edge:
                chosen = rule
                armed.fired += 1
        return Draw(chosen, self.latency.seconds(slowness) if self.latency else 0.0)


class InputError(Exception):
    """Names the value, the rule it breaks and the remedy."""


def explain(error: Mapping[str, object]) -> str:
    """Put one entry of `ValidationError.errors()` in one line."""
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    path = error["loc"]
    where = ".".join(str(part) for part in path) if isinstance(path, tuple | list) else str(path)
    value = json.dumps(error.get("input"), default=str)
    match error["type"]:
        case "missing":
            return f'"{where}" is missing from {value}; kinds: {", ".join(FaultKind)}'
        case "extra_forbidden":
            return f'"{where}" is not known; the fields of a rule: {", ".join(Rule.model_fields)}'
        case "value_error":
            return f"{value}: {message}"
    return f"{where or 'the value'} is {value}; {message}"
