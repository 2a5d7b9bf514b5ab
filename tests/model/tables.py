"""What each pair of a shared part and a host allows, worked out once; and states packed into one number.

Two facts keep the search fast. Hosts are alike and hold groups independently, so states that differ only in
the order of the hosts are one state. And a transition reads one host and the shared part only (or asks all
hosts the same question), so its effect is worked out once for each pair of the two and looked up ever after.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tests.model.rules import Joint, Local, Room
from tests.model.state import Host, Outcome, Shared

# Of one number in a packed state: up to 2 million distinct hosts, far more than any configuration has.
BITS = 21
MASK = (1 << BITS) - 1


class Model(Protocol):
    """What the search needs to know of a protocol."""

    bounds: tuple[int, int]

    def start(self) -> tuple[Shared, list[Host]]: ...
    def joint(self, shared: Shared) -> Iterator[Joint]: ...
    def local(self, shared: Shared, host: Host, room: Room) -> Iterator[Local]: ...
    def tidy(self, shared: Shared, host: Host) -> Host: ...
    def wrong(self, shared: Shared, host: Host) -> tuple[str, ...]: ...
    def ended(self, shared: Shared, host: Host) -> bool: ...


class Tables:
    """Numbers for shared parts and hosts, and what each pair of them allows, worked out on first use."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shared: list[Shared] = []
        self.hosts: list[Host] = []
        self._shared_ids: dict[Shared, int] = {}
        self._host_ids: dict[Host, int] = {}
        self._joints: dict[int, list[tuple[int, dict[int, int], Joint]]] = {}
        self._moves: dict[tuple[int, int, bool, bool], list[tuple[int, int, str, bool]]] = {}
        self.facts: dict[int, tuple[tuple[str, ...], bool, int, int]] = {}

    def shared_id(self, shared: Shared) -> int:
        number = self._shared_ids.setdefault(shared, len(self.shared))
        if number == len(self.shared):
            self.shared.append(shared)
        return number

    def host_id(self, shared: int, host: Host) -> int:
        host = self.model.tidy(self.shared[shared], host)
        number = self._host_ids.setdefault(host, len(self.hosts))
        if number == len(self.hosts):
            self.hosts.append(host)
        return number

    def fact(self, shared: int, host: int) -> tuple[tuple[str, ...], bool, int, int]:
        """(what is wrong, whether ended, workers, late writes) for this pair."""
        key = shared << BITS | host
        known = self.facts.get(key)
        if known is None:
            s, h = self.shared[shared], self.hosts[host]
            known = (self.model.wrong(s, h), self.model.ended(s, h), len(h.workers), len(h.late))
            self.facts[key] = known
        return known

    def moves(self, shared: int, host: int, worker: bool, late: bool) -> list[tuple[int, int, str, bool]]:
        """Every local transition of this pair: (shared, host, label) then, and whether `move` is asked."""
        key = (shared, host, worker, late)
        known = self._moves.get(key)
        if known is None:
            found: dict[tuple[int, int], str] = {}
            for label, after, new in self.model.local(
                self.shared[shared], self.hosts[host], Room(worker, late)
            ):
                number = self.shared_id(after)
                found.setdefault((number, self.host_id(number, new)), label)
            found.pop((shared, host), None)
            known = [
                (number, new, label, self._asked_for(new) != self._asked_for(host))
                for (number, new), label in found.items()
            ]
            self._moves[key] = known
        return known

    def _asked_for(self, number: int) -> tuple[list[Outcome], bool, bool]:
        """What `move` reads of a host."""
        host = self.hosts[number]
        return [step.outcome for step in host.steps], host.gating, host.gate_failed

    def at_once(self, shared: int, hosts: list[int]) -> tuple[int, list[int], str]:
        """What follows in the same transition, and its label; the same state if nothing does."""
        for after, news, label in self.joints(shared, hosts, at_once=True):
            return after, news, label
        return shared, hosts, ""

    def joints(
        self, shared: int, hosts: list[int], *, at_once: bool = False
    ) -> Iterator[tuple[int, list[int], str]]:
        """Every transition of all hosts together: (shared, hosts, label) afterwards."""
        known = self._joints.get(shared)
        if known is None:
            known = [(self.shared_id(j.shared), {}, j) for j in self.model.joint(self.shared[shared])]
            self._joints[shared] = known
        for after, cache, joint in known:
            if at_once and not joint.at_once:
                continue
            outcome = []
            for host in hosts:
                packed = cache.get(host)
                if packed is None:
                    holds = joint.when(self.hosts[host])
                    packed = self.host_id(after, joint.then(self.hosts[host])) << 1 | holds
                    cache[host] = packed
                outcome.append(packed)
            answers = [packed & 1 for packed in outcome]
            if any(answers) if joint.any_host else all(answers):
                yield after, [packed >> 1 for packed in outcome], joint.label


def pack(shared: int, hosts: list[int]) -> int:
    """One number for a state, the same for every order of its hosts."""
    state = shared
    for host in sorted(hosts):
        state = state << BITS | host
    return state


def unpack(state: int, count: int) -> tuple[int, list[int]]:
    """The shared part and the hosts of a packed state."""
    hosts = []
    for _ in range(count):
        hosts.append(state & MASK)
        state >>= BITS
    return state, hosts


def keys(tables: Tables, shared: int, hosts: list[int]) -> list[int]:
    """The packed states one step away: `successors` without labels, written for speed."""
    facts = [tables.fact(shared, host) for host in hosts]
    most_workers, most_late = tables.model.bounds
    worker = sum(fact[2] for fact in facts) < most_workers
    late = sum(fact[3] for fact in facts) < most_late
    found = []
    for after, news, _ in tables.joints(shared, hosts):
        after, news, _ = tables.at_once(after, news)
        found.append(pack(after, news))
    for position, host in enumerate(hosts):
        moves = tables.moves(shared, host, worker, late)
        if len(hosts) == 2:
            for after, new, _, outcome in moves:
                if outcome:
                    after, (new, other), _ = tables.at_once(after, [new, hosts[1 - position]])
                else:
                    other = hosts[1 - position]
                low, high = (new, other) if new < other else (other, new)
                found.append((after << BITS | low) << BITS | high)
        else:
            others = hosts[:position] + hosts[position + 1 :]
            for after, new, _, outcome in moves:
                news = [new, *others]
                if outcome:
                    after, news, _ = tables.at_once(after, news)
                found.append(pack(after, news))
    return found


def successors(tables: Tables, shared: int, hosts: list[int]) -> Iterator[tuple[int, list[int], int, str]]:
    """Every state one step away: (shared, hosts in the order given, which host moved or -1, label)."""
    facts = [tables.fact(shared, host) for host in hosts]
    most_workers, most_late = tables.model.bounds
    worker = sum(fact[2] for fact in facts) < most_workers
    late = sum(fact[3] for fact in facts) < most_late
    for position, host in enumerate(hosts):
        for after, new, label, _ in tables.moves(shared, host, worker, late):
            after, news, then = tables.at_once(after, [*hosts[:position], new, *hosts[position + 1 :]])
            yield after, news, position, f"{label}, {then}" if then else label
    for after, news, label in tables.joints(shared, hosts):
        after, news, then = tables.at_once(after, news)
        yield after, news, -1, f"{label}, {then}" if then else label
