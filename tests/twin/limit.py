"""The limit that all workers share, in the twin: places, the line for them, and the moments of a rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lockstep.worker.operation.host import Limits, WriteLimit
from lockstep.worker.operation.model import AttemptId, HostName, Millis, OperationId
from lockstep.worker.operation.transitions import Forward, Progress
from tests.twin.record import Record, StepRecord

OVER, NOT_OPEN, SEND = (Progress(each) for each in (Forward.OVER, Forward.NOT_OPEN, Forward.SEND))
ALL = HostName("*")
UNDO_FIRST = 10**14
Ticket = tuple[bool, HostName, OperationId]
"""Whether it is an undo, its host and its operation."""


@dataclass(slots=True)
class Line:
    """Who may write under one limit, and who waits."""

    places: dict[AttemptId | Ticket, int] = field(default_factory=dict)
    """Until when; those of tickets are kept for steps that were called."""
    queue: dict[Ticket, int] = field(default_factory=dict)
    pace: dict[Ticket, int] = field(default_factory=dict)
    next: int = 0

    def first(self) -> Ticket:
        """Who has waited the longest for a place."""
        return min(self.queue, key=lambda each: (self.queue[each], name_of(each)))

    def forget(self, who: AttemptId | Ticket) -> None:
        """Have somebody neither wait nor write."""
        self.places.pop(who, None)
        if not isinstance(who, str):
            self.queue.pop(who, None)
            self.pace.pop(who, None)


def name_of(ticket: Ticket) -> str:
    """Return it as the record has it."""
    undo, host, operation = ticket
    return f"{'undo' if undo else 'forward'} {host} {operation}"


def number_in(waiting: Mapping[Ticket, int], ticket: Ticket) -> int:
    """Return at which place in line it stands."""
    return sorted(waiting, key=lambda each: (waiting[each], name_of(each))).index(ticket) + 1


class MemoryLimits:
    """What `limit.lua` is to the scripts."""

    def __init__(self, clock: Callable[[], Millis], limits: Limits) -> None:
        self.clock = clock
        self.limits = limits
        self.records: dict[OperationId, Record] = {}
        self.limited: dict[str, WriteLimit] = {}
        """By host; `*` for all together."""
        self.lines: dict[HostName, Line] = {}
        self._called: deque[OperationId] = deque()

    def called(self) -> Iterator[OperationId]:
        """Take the operations of which something is to be published."""
        while self._called:
            yield self._called.popleft()

    def _settles_within(self, record: Record) -> int:
        return max(self.limits.settle, record.content.settle if record.content else 0)

    def _lines(self, host: HostName) -> Iterator[tuple[HostName, WriteLimit, Line]]:
        for name in (host, ALL):
            yield name, self.limited.get(name, WriteLimit()), self.lines.setdefault(name, Line())

    def _place(self, record: Record, host: HostName) -> str:
        """Say at which place in line a host stands."""
        for *_, line in self._lines(host):
            for waiting in (line.queue, line.pace):
                for ticket in waiting:
                    if ticket[1:] == (host, record.id):
                        return f"number {number_in(waiting, ticket)} in line"
        return "and is called"

    def _wake(self, ticket: Ticket, at: int) -> None:
        _, host, operation = ticket
        self.records[operation].waits[host] = Millis(at)
        if at <= self.clock() and operation not in self._called:
            self._called.append(operation)

    def _call_next(self, name: HostName, me: Ticket | None = None) -> None:
        most, line = self.limited.get(name, WriteLimit()).at_once or math.inf, self.lines[name]
        while line.queue:
            first = line.first()
            own = 0 if first[0] or most < 2 else 1
            if len(line.places) >= most - own:
                kept = [each for each in line.places if not isinstance(each, str) and not each[0]]
                if not (first[0] and kept):
                    self._wake(first, min(line.places.values()))
                    return
                del line.places[min(kept, key=lambda each: (line.places[each], name_of(each)))]
            del line.queue[first]
            line.places[first] = self.clock() + self.limits.sweep_patience
            if first != me:
                self._wake(first, self.clock())

    def _leave(self, record: Record, hosts: Iterable[HostName]) -> None:
        for host in sorted(hosts):
            if host in record.queued:
                record.queued.discard(host)
                for _, _, line in self._lines(host):
                    line.forget((True, host, record.id))
                    line.forget((False, host, record.id))
                for name, _, _ in self._lines(host):
                    self._call_next(name)

    def _give_back(self, record: Record, host: HostName, attempt: AttemptId) -> None:
        for name, _, line in self._lines(host) if record.limited else ():
            if line.places.pop(attempt, None) is not None:
                self._call_next(name)

    def _wait_for_place(
        self, record: Record, host: HostName, step: StepRecord, attempt: AttemptId, undo: bool, age: int
    ) -> Progress | None:
        """None if it may write now; else after how many ms it comes by itself, 0 if it is called, and why."""
        if not record.limited:
            return None
        now, me = self.clock(), (undo, host, record.id)
        step.since = step.since or now
        rank = step.since - (UNDO_FIRST if undo else 0)
        longest = self.limits.send_within + self.limits.call + self._settles_within(record)
        for name, limit, line in self._lines(host):
            where = " at all hosts together" if name == ALL else f" at {name}"
            if limit.at_once:
                line.places = {each: at for each, at in line.places.items() if at > now - age}
                if me not in line.places:
                    line.queue[me] = rank
                    self._call_next(name, me)
                if me not in line.places:
                    older = number_in(line.queue, me) - 1
                    at = now + longest * math.ceil((older + 1) / limit.at_once)
                    record.waits[host] = Millis(min(line.places.values()) if older == 0 else at)
                    why = f"waits for one of {limit.at_once} writes{where}"
                    return self._waits(record, host, step, why, older + 1)
            if limit.a_second:
                between = 1000 / limit.a_second
                if line.next > now + between + 1:
                    line.next = math.ceil(now + between)
                again: float = line.next - now
                again += between * sum(at < rank for at in line.pace.values())
                if again > 0:
                    line.pace[me] = rank
                    until = now + again + record.patience
                    for _, _, kept in self._lines(host):
                        kept.places.update({each: int(until) for each in kept.places if each == me})
                    record.waits[host] = Millis(int(until))
                    why = f"waits for one of {limit.a_second:g} writes a second{where}"
                    number = number_in(line.pace, me)
                    return self._waits(record, host, step, why, number, max(1, round(again)))
        for _, limit, line in self._lines(host):
            line.forget(me)
            if limit.at_once:
                line.places[attempt] = now + longest
            if limit.a_second:
                between = 1000 / limit.a_second
                line.next = math.ceil(max(now, line.next) + between)
        record.queued.discard(host)
        step.since = None
        return None

    def _waits(
        self, record: Record, host: HostName, step: StepRecord, why: str, number: int, again: int = 0
    ) -> Progress:
        record.queued.add(host)
        step.reason, step.why = why, None
        return Progress(Forward.BUSY, reason=f"{why}, number {number} in line", left=again)
