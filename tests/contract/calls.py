"""Calls of the record's methods that clients may make at once, and what of their answers can be compared."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from enum import Enum

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import LockstepError
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    HostRef,
    Millis,
    Moment,
    OperationId,
    Presence,
    Seen,
)
from lockstep.worker.operation.thing import Digest, ThingRequest
from lockstep.worker.operation.transitions import Miss, Request, View
from lockstep.worker.operation.waves import Health, Rollout
from tests.contract.contents import FOREIGN, GONE, OLD, REWRITTEN, TARGET, look
from tests.contract.driver import EFFECTS, VERDICTS

NEVER = 10**9
"""Milliseconds that no run lasts for."""
CLIENTS = 8
LATER, BEFORE = Millis(10**15), Millis(0)
"""When a look was sent: after all that may still land, or before."""
HOSTS = (HostName("a"), HostName("b"))
ACTION = Action.CREATE
OF_TIME = frozenset({"now", "send_by", "quiet", "left", "until", "since", "waits_until", "at", "bake_until"})
BESIDE = frozenset({"stalled_hosts", "step"})
"""Read a moment later: who is stalled, and what else the record has by now of a host that is done."""
ONE_WRITE = WriteLimit(1)
FORGOTTEN, LEFT, LIMITED = 1, 3, 4
"""Of each five groups: one whose records are dropped, one whose ends and drift are read and kept, and one on
hosts that take one write at a time."""
ACCEPTS, BEGINS = {FORGOTTEN: 20, LEFT: 40, LIMITED: 16}, {FORGOTTEN: 60, LEFT: 100, LIMITED: 40}
"""How likely these calls are there; operations are to end, or to wait for each other."""
DONE = {FORGOTTEN: 0.9, LEFT: 0.9, LIMITED: 0.1}
"""How likely a host shows what was asked for already, and is done at once."""
LOOKS = (OLD, OLD, TARGET, REWRITTEN, FOREIGN, GONE, look("like old", like=("size",)))
"""What a look at a thing with content may show."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the store, with its arguments."""

    method: str
    arguments: tuple[object, ...]

    def on(self, store: object) -> object:
        """Make it; return its answer, or the error's name."""
        try:
            return getattr(store, self.method)(*self.arguments)
        except LockstepError as error:
            return type(error).__name__

    def timeless(self) -> Call:
        """Return it for the twin, where everything ends at one moment."""
        return replace(self, arguments=tuple(map(_timeless, self.arguments)))


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was answered; times in seconds of one clock."""

    call: Call
    began: float
    ended: float
    answer: object


def plain(value: object) -> object:
    """Return an answer so that it can be compared: no times, and no order where there is none."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return {name: plain(each) for name, each in kept.items() if _compared(value, name)}
    if isinstance(value, (tuple, list)):
        parts = [plain(each) for each in value]
        unordered = all(
            isinstance(each, (str, Moment)) for each in value
        )  # moments are in the order of their times
        return sorted(parts, key=repr) if unordered else parts
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return str(value) if isinstance(value, Enum) else value


def _timeless(value: object) -> object:
    match value:
        case End():
            return replace(value, at=Millis(NEVER))
        case Drift():
            return replace(value, end=replace(value.end, at=Millis(NEVER)))
        case dict():
            return {name: _timeless(each) for name, each in value.items()}
    return value


def _compared(of: object, name: str) -> bool:
    beside = name in BESIDE and not isinstance(of, View)
    return not (beside or name in OF_TIME or name.endswith("_at"))


def drawn(dice: random.Random, client: int, group: GroupId, ends: Mapping[HostName, End]) -> Call:
    """Draw a call about one of the two operations that want this group, or this thing with content.

    `ends` is what the client read last of what was left of the group.
    """
    operation = OperationId(f"{group}-{dice.choice('xxxy')}")
    host = dice.choice(hosts_of(group))
    url = f"url-of-{host}" if dice.random() < 0.95 else "another"
    mine = AttemptId(f"{client}" if dice.random() < 0.8 else f"{dice.randrange(CLIENTS)}")
    sent = dice.choice((LATER, LATER, BEFORE))
    hosts = tuple(HostRef(h, f"url-of-{h}") for h in hosts_of(group))
    content = _content(group)
    request = Request(
        operation, group, _action(group), hosts, NEVER, "test", rollout=_rollout(group), content=content
    )
    health = dice.choice((Health.WELL, Health.WELL, Health.UNWELL, Health.CHANGED))
    likely: list[tuple[int, str, tuple[object, ...]]] = [
        (ACCEPTS.get(_of_five(group), 6), "accept", (request,)),
        (2, "missed", (operation, host, url, mine, "GET 500", Miss.ANSWERED)),
        (2, "cancel", (operation, f"client {client % 2}")),
        (2, "postpone", (operation, host, NEVER, "later", mine)),
        (1, "abandon", (operation, host, "given up")),
        (4, "claim", (operation,)),
        (3, "view", (operation, host)),
        (5, "operation", (operation,)),
        # Which place in line a host has is read a moment later.
        *([] if limits_of(group) else [(3, "steps", (operation,))]),
        (3, "lock_owner", (group,)),
        *(_of_content if content else _of_presence)(dice, operation, host, url, mine, sent, group),
    ]
    if _of_five(group) == FORGOTTEN:
        likely.append((30, "_forget", (operation,)))
    if _of_five(group) == LEFT:
        likely += _of_ends(dice, group, ends)
    if request.rollout:
        likely += [
            (2, "hold", (operation, f"client {client % 2}", "to look at it")),
            (8, "promote", (operation, dice.choice((1, 1, 2)))),
            (8, "gate_seen", (operation, host, dice.choice((1, 1, 2)), sent, mine, health, "said")),
        ]
    weights = [weight for weight, _, _ in likely]
    _, method, arguments = dice.choices(likely, weights)[0]
    return Call(method, arguments)


def _of_presence(
    dice: random.Random,
    operation: OperationId,
    host: HostName,
    url: str,
    mine: AttemptId,
    sent: Millis,
    group: GroupId,
) -> list[tuple[int, str, tuple[object, ...]]]:
    undo = AttemptId(f"undo-{mine}")
    action = _action(group)
    done = dice.random() < DONE.get(_of_five(group), 0.25)
    seen = Seen(action.target if done else action.inverse.target)
    verdict = dice.choice(VERDICTS)
    back = dice.choice((Effect.APPLIED, Effect.ALREADY, Effect.UNKNOWN, Effect.NOT_APPLIED))
    return [
        (BEGINS.get(_of_five(group), 12), "begin", (operation, host, url, seen, mine, action, group)),
        (12, "finish", (operation, host, mine, verdict, "said")),
        (6, "begin_undo", (operation, host, url, undo, Millis(0))),
        (6, "finish", (operation, host, undo, back, "said")),
        (8, "settle", (operation, host, sent, dice.choice((0, 1)), seen.presence)),
    ]


def _of_ends(
    dice: random.Random, group: GroupId, ends: Mapping[HostName, End]
) -> list[tuple[int, str, tuple[object, ...]]]:
    found = {
        host: end.drift(group, host, dice.choice(tuple(Presence)), Millis(0)) for host, end in ends.items()
    }
    return [
        (40, "ends", (group,)),
        (100 if ends else 10, "keep_drift", (group, dict(ends), found)),
        (10, "forget_group", (group, dice.choice((LATER, BEFORE)))),
    ]


def _of_content(
    dice: random.Random,
    operation: OperationId,
    host: HostName,
    url: str,
    mine: AttemptId,
    sent: Millis,
    group: GroupId,
) -> list[tuple[int, str, tuple[object, ...]]]:
    shows, undo = dice.choice(LOOKS), AttemptId(f"undo-{mine}")
    effect = dice.choice((Effect.APPLIED, Effect.APPLIED, *EFFECTS))
    return [
        (20, "shown", (operation, host, url, shows, mine, ACTION, group)),
        (12, "finish", (operation, host, dice.choice((mine, undo)), effect, "said")),
        (4, "cancel", (operation, "somebody")),
        (16, "restore", (operation, host, url, sent, dice.choice((0, 0, 1)), shows, undo)),
        (3, "resolve", (operation, host, "somebody")),
        (2, "text", (operation, shows.digest)),
        (2, "contents_left", (group,)),
    ]


def hosts_of(group: GroupId) -> tuple[HostName, ...]:
    """Hosts with limits are the group's own: whoever waits for a place there waits for this group alone."""
    return tuple(HostName(f"{host}-{group}") for host in HOSTS) if limits_of(group) else HOSTS


def limits_of(group: GroupId) -> dict[str, WriteLimit]:
    """What the hosts of a group take of writes."""
    return {f"{host}-{group}": ONE_WRITE for host in HOSTS} if _of_five(group) == LIMITED else {}


def _of_five(group: GroupId) -> int:
    return _number(group) % 5


def _number(group: GroupId) -> int:
    return int(group[1:])


def _action(group: GroupId) -> Action:
    """Every other group whose ends are read is deleted, so that it may be forgotten."""
    return Action.DELETE if _of_five(group) == LEFT and _number(group) % 2 else ACTION


def _content(group: GroupId) -> ThingRequest | None:
    """Every third group is a thing, which operations set, unless its ends are read; half have a secret."""
    every = _number(group)
    texts = {"target": "text of target", "definition": "a kind", "secret": "sealed"}
    about, secret = ("set", "vhost", "d1", Digest("target"), group), every % 2 == 0
    asked = ThingRequest(*about, secret=secret, once=False, upsert=False, texts=texts)
    return asked if every % 3 == 2 and every % 5 != LEFT else None


def _rollout(group: GroupId) -> Rollout | None:
    """One host first: with a hold after it in some groups, with a gate in others."""
    every = _number(group)
    gate, waves = every % 4 == 1, {host: wave for wave, host in enumerate(hosts_of(group), 1)}
    return (
        Rollout(waves, gate=gate, hold=not gate) if every % 2 and every % 5 not in (FORGOTTEN, LEFT) else None
    )
