"""Choosing hosts of the inventory by name and by label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.names import show

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Condition:
    """`label=value` or `label!=value`; a host without the label meets only the latter, as in kubectl."""

    label: str
    value: str
    negated: bool

    def holds(self, host: Host) -> bool:
        """Tell whether a host meets the condition."""
        return (host.labels.get(self.label) == self.value) is not self.negated

    def __str__(self) -> str:
        return f"{self.label}{'!=' if self.negated else '='}{self.value}"


def parse_condition(text: object) -> Condition:
    """Return a condition from its text; raise InvalidInput naming the rule it breaks."""
    if not isinstance(text, str):
        raise InvalidInput(f"condition {show(text)} is of type {type(text).__name__}: give label=value")
    left, separator, value = text.partition("=")
    negated = left.endswith("!")
    label, value = left.removesuffix("!").strip(), value.strip()
    if not separator or not label or not value:
        raise InvalidInput(f"condition {show(text)} is neither label=value nor label!=value")
    return Condition(label, value, negated)


def select(
    inventory: Inventory,
    names: Iterable[object] | None = None,
    where: Iterable[object] = (),
    except_: Iterable[object] = (),
) -> tuple[Host, ...]:
    """Return the named hosts (all for None) that meet every condition, without the excepted ones.

    Raises InvalidInput for a name or label that the inventory does not have, and if no host is left.
    """
    conditions = [parse_condition(each) for each in _listed("where", where)]
    known = {label for host in inventory for label in host.labels}
    for each in conditions:
        if each.label not in known:
            # A misspelled label in a `!=` would otherwise select every host.
            raise InvalidInput(f"no host has the label {show(each.label)}; known: {_some(sorted(known))}")
    excepted = _listed("except_", except_)
    left_out = {host.name for host in inventory.select(excepted)} if excepted else set()
    named = inventory.select(names)
    meeting = [host for host in named if all(each.holds(host) for each in conditions)]
    chosen = tuple(host for host in meeting if host.name not in left_out)
    if not chosen:
        raise InvalidInput(_nothing_left(named, meeting, conditions))
    return chosen


def _listed(noun: str, values: object) -> list[object]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{noun} {show(values)} is of type {type(values).__name__}: give a list")
    return list(values)


def _nothing_left(named: Sequence[Host], meeting: Sequence[Host], conditions: Sequence[Condition]) -> str:
    if meeting:
        return f"no host is left: all {len(meeting)} that were selected are excepted"
    wanted = " and ".join(map(str, conditions))
    labels = dict.fromkeys(each.label for each in conditions)
    held = (
        f"{label} is {_some(sorted({host.labels[label] for host in named if label in host.labels}))}"
        for label in labels
    )
    return f"no host meets {wanted}; among the {len(named)} hosts asked for {', '.join(held)}"


def _some(texts: Sequence[str]) -> str:
    more = f", … ({len(texts)} in all)" if len(texts) > MOST_SHOWN else ""
    return (", ".join(map(show, texts[:MOST_SHOWN])) + more) or "none"
