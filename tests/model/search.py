"""The checker: breadth-first over every reachable state, an exact visited set, and the shortest way to what
is wrong."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field

from tests.model.tables import Model, Tables, keys, pack, successors, unpack


@dataclass(slots=True)
class Result:
    """What a search found."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    complete: bool = True
    ends: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)  # what is broken -> the shortest way there


def search(model: Model, *, limit: int = 20_000_000, until: str | None = None) -> Result:
    """Visit every reachable state; report what is wrong, and every state from which no end can be reached.

    With `until`, stop at the first state that breaks a promise whose name starts so ("" for any).
    """
    began, tables, result = time.monotonic(), Tables(model), Result()
    shared, start = model.start()
    number = tables.shared_id(shared)
    count, first = len(start), [tables.host_id(number, host) for host in start]
    packed, parents = [pack(number, first)], array("i", [-1])
    index: dict[int, int] = {packed[0]: 0}
    edges, offsets, ends = array("I"), array("Q", [0]), bytearray()
    broken: dict[str, int] = {}
    at = 0
    while at < len(packed):
        shared_now, hosts = unpack(packed[at], count)
        facts = [tables.fact(shared_now, host) for host in hosts]
        ends.append(all(fact[1] for fact in facts))
        wrong = dict.fromkeys(name for fact in facts for name in fact[0])
        for name in wrong:
            broken.setdefault(name, at)
        if until is not None and any(name.startswith(until) for name in wrong):
            result.complete = False
            break
        if not wrong or until:
            for key in keys(tables, shared_now, hosts):
                known = index.get(key)
                if known is None:
                    if len(packed) >= limit:
                        result.complete = False
                        continue
                    known = len(packed)
                    index[key] = known
                    packed.append(key)
                    parents.append(at)
                edges.append(known)
        offsets.append(len(edges))
        at += 1
    result.states, result.transitions, result.ends = len(packed), len(edges), sum(ends)
    if result.complete:
        stuck = first_stuck(edges, offsets, ends, set(broken.values()))
        if stuck is not None:
            broken.setdefault("STUCK: no continuation reaches the end", stuck)
    for name, state in broken.items():
        result.wrong[name] = trace(tables, packed, parents, first, number, state)
    result.depth = depth(parents)
    result.seconds = time.monotonic() - began
    return result


def first_stuck(edges: array[int], offsets: array[int], ends: bytearray, broken: set[int]) -> int | None:
    """The first state from which no end is reachable, if any: backwards from the ends until nothing
    changes."""
    good, changed = bytearray(ends), True
    while changed:
        changed = False
        for at in range(len(good) - 1, -1, -1):
            if not good[at] and any(good[to] for to in edges[offsets[at] : offsets[at + 1]]):
                good[at] = changed = True
    return next((at for at, reaches in enumerate(good) if not reaches and at not in broken), None)


def depth(parents: array[int]) -> int:
    """The longest of the shortest ways."""
    depths = array("H", [0])
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    return max(depths)


def trace(
    tables: Tables, packed: list[int], parents: array[int], first: list[int], shared: int, state: int
) -> list[str]:
    """The labels from the start to this state, each with the host it moved; host numbers stay the same
    throughout."""
    way = []
    while state >= 0:
        way.append(packed[state])
        state = parents[state]
    hosts, labels = first, []
    for goal in reversed(way[:-1]):
        for after, news, position, label in successors(tables, shared, hosts):
            if pack(after, news) == goal:
                labels.append(label if position < 0 else f"host{position}: {label}")
                shared, hosts = after, news
                break
    return labels
