"""Faults after which nobody knows whether a write took effect, each struck once on a group of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lockstep.worker.operation.model import Action, GroupId, OperationId
from tests.integration.worker.harness import Bench, End

AMBIGUOUS: dict[str, dict[str, Any]] = {
    "error before effect": {"kind": "error_before"},
    "error after effect": {"kind": "error_after"},
    "hang before effect": {"kind": "hang_before"},
    "hang after effect": {"kind": "hang_after"},
    "reset before effect": {"kind": "reset_before"},
    "reset after effect": {"kind": "reset_after"},
    "html page": {"kind": "malformed"},
    "another id in the body": {"kind": "wrong_id"},
    "lands 1 s later": {"kind": "delayed", "seconds": 1.0},
}


@dataclass(frozen=True)
class Ran:
    """One operation's end, who held the group then, and what its nodes did for it."""

    end: End
    holding: set[str]
    effects: dict[str, list[str]]


def groups_for(bench: Bench, suffix: str) -> dict[str, GroupId]:
    """Name a group for each fault."""
    return {name: GroupId(f"{bench.group}-{suffix}-{n}") for n, name in enumerate(AMBIGUOUS)}


def once(groups: Mapping[str, GroupId], methods: list[str]) -> list[dict[str, Any]]:
    """Each fault once for each of the methods, on node2, for its own group."""
    return [
        {**AMBIGUOUS[name], "node": "node2", "group": group, "methods": methods, "times": 1}
        for name, group in groups.items()
    ]


def start_all(bench: Bench, action: Action, groups: Mapping[str, GroupId]) -> dict[str, OperationId]:
    """Start the action on all groups at once: most of it is waiting until attempts are settled."""
    return {name: bench.start(action, group) for name, group in groups.items()}


def ends(
    bench: Bench, groups: Mapping[str, GroupId], operations: Mapping[str, OperationId]
) -> dict[str, Ran]:
    """Wait for the end of each operation, and look at the nodes then."""
    ended = {name: bench.end(operation) for name, operation in operations.items()}
    return {
        name: Ran(
            ended[name], bench.holding(group), {host: bench.effects(host, group) for host in bench.hosts}
        )
        for name, group in groups.items()
    }


def run_at_once(bench: Bench, action: Action, groups: Mapping[str, GroupId]) -> dict[str, Ran]:
    """Run the action on all groups to its end."""
    return ends(bench, groups, start_all(bench, action, groups))
