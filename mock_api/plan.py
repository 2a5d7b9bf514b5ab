"""Which fault strikes the n-th call of a node: seeded, so that a run can be had again."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from lockstep.mock_api.faults import Latency, Method, Rule


@dataclass(slots=True)
class Armed:
    """A rule on one node, with its counters."""

    rule: Rule
    seen: int = 0
    """Calls that matched it."""
    fired: int = 0
    """Calls that it struck."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance has in store for one call."""

    rule: Rule | None
    delay: float


class Plan:
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
        self.armed: list[Armed] = []
        self.latency: Latency | None = None

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put these rules in place of all others, their counters at zero."""
        self.armed = [Armed(rule) for rule in rules]

    def add(self, rules: Iterable[Rule]) -> None:
        """Put these rules after the others."""
        self.armed.extend(Armed(rule) for rule in rules)

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
