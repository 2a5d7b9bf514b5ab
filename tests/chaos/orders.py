"""What the clients ask for, of groups and of things: orders drawn from a seed, and what they were told."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.operation.waves import Pace

GROUPS = tuple(GroupId(f"team-{n:02}") for n in range(1, 21))
KIND = """
kind: card
fields:
  text: {required: true, rewritten: true}
  colour: {default: white}
look: {request: "GET /cards/{id}", present: {status: 200, where: body.text != null}}
create: {request: "PUT /cards/{id}", applied: 201, replaced: 204}
update: {request: "PUT /cards/{id}", applied: 204, replaced: 201}
delete: DELETE /cards/{id}
"""
THINGS = tuple(GroupId(f"card/c{n}") for n in range(1, 9))
CONTENTS = tuple(
    {"text": text, "colour": colour} for text, colour in (("one", "red"), ("two", "red"), ("three", "blue"))
)
"""Each thing is absent, or has one of these."""
ABOUT_THINGS = 0.3
"""The share of operations that are about things."""
REWRITES, IGNORES = HostName("node2"), HostName("node3")
"""The first often shows texts in another form than sent; the second often says yes and changes nothing."""
AFTER_ACCEPT = "producer killed after accept"
WHILE_PUBLISHING = "producer killed while publishing"
ASLEEP = "producer sleeps at every step"
UNEXPECTED = "unexpected: "
"""Before an error that no client may be shown."""
SUBSETS = 0.2
"""The share of operations that are about some of the hosts only."""
LIMITED, AT_ONCE, APART = HostName("node6"), 2, 2.0
"""The last host takes so many writes at once, one of them for undo alone, and one in so many seconds."""
AT_THE_LIMITED = 0.25
"""The share of operations that may be about that host, too."""
LINE = 6
"""Operations that are to change the limited host at once."""
IN_WAVES = 0.25
"""The share of operations on several hosts that go in waves."""


@dataclass(frozen=True, slots=True)
class Order:
    """One operation to be enqueued."""

    operation: OperationId
    group: GroupId
    action: Action
    hosts: tuple[HostName, ...]
    verb: str = ""
    """create, set or delete of a thing; empty for a group."""
    content: Mapping[str, str] = field(default_factory=dict)
    """What a thing is to have."""
    pace: Mapping[str, Any] = field(default_factory=dict)
    """How it goes in waves, as `create_group` is told; empty for all hosts at once."""


def draw(dice: random.Random, hosts: Sequence[HostName], *, plain: bool = False) -> Order:
    """Draw an order: an action on a group, popular ones more often, on all hosts or some.

    A plain one has no waves and is about no thing and no limited host.
    """
    if plain or dice.random() >= AT_THE_LIMITED:
        hosts = [host for host in hosts if host != LIMITED]
    chosen = tuple(hosts)
    if dice.random() < SUBSETS:
        chosen = tuple(sorted(dice.sample(hosts, dice.randint(1, len(hosts) - 1))))
    operation = OperationId(f"{dice.getrandbits(48):012x}")
    pace = draw_pace(dice) if len(chosen) > 1 and not plain and dice.random() < IN_WAVES else {}
    if not plain and dice.random() < ABOUT_THINGS:
        verb = dice.choice(("create", "set", "set", "delete"))
        action = Action.DELETE if verb == "delete" else Action.CREATE
        content = {} if verb == "delete" else dice.choice(CONTENTS)
        return Order(operation, _popular(dice, THINGS), action, chosen, verb, content, pace)
    action = dice.choice((Action.CREATE, Action.DELETE))
    return Order(operation, _popular(dice, GROUPS), action, chosen, pace=pace)


def _popular(dice: random.Random, ids: Sequence[GroupId]) -> GroupId:
    return dice.choices(ids, [rank**-0.7 for rank in range(1, len(ids) + 1)])[0]


def ask(client: ClusterClient, order: Order, deadline: float) -> Operation:
    """Enqueue an order."""
    about = (order.group, order.hosts, order.content, order.operation, deadline)
    verb = order.verb or str(order.action)
    return client.change(verb, *about, upsert=verb == "set", pace=Pace(**order.pace))


def at_the_limited(dice: random.Random, held: Collection[str]) -> list[Order]:
    """Draw orders that change the limited host, which holds these groups."""
    return [
        Order(
            OperationId(f"{dice.getrandbits(48):012x}"),
            group,
            Action.DELETE if group in held else Action.CREATE,
            (LIMITED,),
        )
        for group in dice.sample(GROUPS, LINE)
    ]


def draw_pace(dice: random.Random) -> dict[str, Any]:
    """Draw how an operation goes in waves."""
    waves = dice.choice(("1,100%", "1,2,100%", "2"))
    return {"waves": waves, "bake": dice.choice((None, 0.3, 1.0)), "hold": dice.random() < 0.25}


@dataclass
class Told:
    """What clients were told; the record must never say otherwise afterwards. Safe to share."""

    asked: dict[OperationId, Order] = field(default_factory=dict)
    """Of things, also of operations that were perhaps never accepted."""
    accepted: dict[OperationId, Order] = field(default_factory=dict)
    committed: set[OperationId] = field(default_factory=set)
    rolled_back: set[OperationId] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    """What contradicted a promise at once."""
    counts: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, order: Order) -> None:
        """Keep that an operation was accepted."""
        with self.lock:
            self.accepted[order.operation] = order

    def count(self, what: str) -> None:
        """Count something."""
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def newest(self, count: int) -> list[Order]:
        """Return the orders that were accepted last."""
        with self.lock:
            return list(self.accepted.values())[-count:]
