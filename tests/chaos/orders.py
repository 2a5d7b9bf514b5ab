"""What the clients ask for: orders drawn from a seed, and what they were told."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId

GROUPS = tuple(GroupId(f"team-{n:02}") for n in range(1, 21))
POPULARITY = [rank**-0.7 for rank in range(1, len(GROUPS) + 1)]
AFTER_ACCEPT = "after accept"
WHILE_PUBLISHING = "while publishing"
ASLEEP = "sleeps at every step"
UNEXPECTED = "unexpected: "
"""Before an error that no client may be shown."""
SUBSETS = 0.2
"""The share of operations that are about some of the hosts only."""
LIMITED, AT_ONCE = HostName("node6"), 2
"""The last host takes so many writes at once, one of them for undo alone."""
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
    pace: Mapping[str, Any] = field(default_factory=dict)
    """How it goes in waves, as `create_group` is told; empty for all hosts at once."""


def draw(dice: random.Random, hosts: Sequence[HostName]) -> Order:
    """Draw an order: an action on a group, popular ones more often, on all hosts or some."""
    if dice.random() >= AT_THE_LIMITED:
        hosts = [host for host in hosts if host != LIMITED]
    chosen = tuple(hosts)
    if dice.random() < SUBSETS:
        chosen = tuple(sorted(dice.sample(hosts, dice.randint(1, len(hosts) - 1))))
    return Order(
        OperationId(f"{dice.getrandbits(48):012x}"),
        dice.choices(GROUPS, POPULARITY)[0],
        dice.choice((Action.CREATE, Action.DELETE)),
        chosen,
        draw_pace(dice) if len(chosen) > 1 and dice.random() < IN_WAVES else {},
    )


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
