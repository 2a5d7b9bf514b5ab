"""Transitions of one operation with what most tests do not care about filled in."""

from __future__ import annotations

from lockstep.worker.operation.decision import Tally
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Millis,
    Operation,
    OperationId,
    Presence,
    Seen,
    Step,
)
from lockstep.worker.steps import PatrolStore
from lockstep.worker.store.base import (
    Accepted,
    Busy,
    Miss,
    Progress,
    Request,
    Settled,
    Stale,
    Taker,
    Undoing,
    Verdict,
)
from tests.contract.bench import Bench

ABSENT = Seen(Presence.ABSENT)
PRESENT = Seen(Presence.PRESENT, '{"groupId": "g", "colour": "red"}')
A, B = HostName("a"), HostName("b")
GROUP = GroupId("g")
LONG = 10_000_000
RETRIES = 2


class Driver:
    """One operation on the hosts a and b, unless told otherwise."""

    def __init__(self, bench: Bench, name: str = "one", action: Action = Action.CREATE) -> None:
        self.bench = bench
        self.store: PatrolStore = bench.store
        self.id = OperationId(name)
        self.action = action
        self.group = GROUP
        self.retries: int | None = RETRIES

    def request(
        self, hosts: tuple[HostName, ...] = (A, B), group: GroupId = GROUP, deadline: int = LONG
    ) -> Request:
        self.group = group
        refs = tuple(HostRef(host, f"url-of-{host}") for host in hosts)
        return Request(self.id, group, self.action, refs, deadline, "a test", self.retries)

    def accept(self, hosts: tuple[HostName, ...] = (A, B), deadline: int = LONG) -> Accepted | Busy | Stale:
        return self.store.accept(self.request(hosts, deadline=deadline))

    def accepted(self, hosts: tuple[HostName, ...] = (A, B), deadline: int = LONG) -> Driver:
        assert self.accept(hosts, deadline) is Accepted.ACCEPTED
        return self

    def begin(self, host: HostName, attempt: str, seen: Seen | None = None) -> Progress:
        seen = seen or (ABSENT if self.action is Action.CREATE else PRESENT)
        return self.store.begin(
            self.id, host, f"url-of-{host}", seen, AttemptId(attempt), self.action, self.group
        )

    def missed(
        self, host: HostName, probe: str, reason: str = "GET 500", miss: Miss = Miss.ANSWERED
    ) -> Progress:
        return self.store.missed(self.id, host, f"url-of-{host}", AttemptId(probe), reason, miss)

    def finish(self, host: HostName, attempt: str, verdict: Verdict, answer: str = "said") -> Progress:
        return self.store.finish(self.id, host, AttemptId(attempt), verdict, answer)

    def apply(self, *hosts: HostName) -> Driver:
        """Bring hosts to the outcome `applied`, each by one write."""
        for host in hosts:
            self.begin(host, f"{host}1")
            self.finish(host, f"{host}1", Verdict.APPLIED)
        return self

    def decide(self, decision: Decision, reason: str = "why") -> Decision | None:
        return self.store.decide(self.id, decision, reason)

    def commit(self) -> Driver:
        assert self.decide(Decision.COMMIT) is Decision.COMMIT
        return self

    def roll_back(self) -> Driver:
        assert self.decide(Decision.ROLL_BACK) is Decision.ROLL_BACK
        return self

    def begin_undo(self, host: HostName, attempt: str) -> Undoing:
        return self.store.begin_undo(self.id, host, f"url-of-{host}", AttemptId(attempt))

    def finish_undo(self, host: HostName, attempt: str, verdict: Verdict, lost: tuple[str, ...] = ()) -> bool:
        return self.store.finish_undo(self.id, host, AttemptId(attempt), verdict, "said", lost)

    def undo(self, *hosts: HostName) -> Driver:
        """Restore hosts, each by one clean write."""
        for host in hosts:
            self.begin_undo(host, f"undo {host}")
            assert self.finish_undo(host, f"undo {host}", Verdict.APPLIED)
        return self

    def look(
        self, host: HostName, seen: Seen, open_before: int | None = None, sent_at: Millis | None = None
    ) -> Settled:
        """Record a GET that was sent now, with what is open now."""
        opened = len(self.step(host).open_attempts) if open_before is None else open_before
        sent = self.bench.now() if sent_at is None else sent_at
        return self.store.settle(self.id, host, sent, opened, seen.presence)

    def take(self, by: Taker) -> tuple[HostName, ...]:
        return tuple(sorted(self.store.take(self.id, by)))

    def due(self) -> bool:
        return self.id in self.store.due(100)

    def kept(self) -> Operation:
        found = self.store.operation(self.id)
        assert found is not None
        return found

    def tally(self) -> Tally:
        found = self.store.tally(self.id)
        assert found is not None
        return found

    def step(self, host: HostName) -> Step:
        return next(step for step in self.store.steps(self.id) if step.host == host)

    def attempt(self, host: HostName, attempt: str) -> Attempt:
        return next(each for each in self.step(host).attempts if each.id == attempt)

    def locked(self) -> bool:
        """Whether another operation is kept off the group."""
        return "lock:g" in self.bench.key_names()
