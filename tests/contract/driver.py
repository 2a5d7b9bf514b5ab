"""Transitions of one operation with what most tests do not care about filled in."""

from __future__ import annotations

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import (
    Action,
    Attempt,
    AttemptId,
    Decision,
    GroupId,
    HostName,
    HostRef,
    Millis,
    OperationId,
    Presence,
    Seen,
    Status,
    Step,
)
from lockstep.worker.operation.transitions import Accepted, Busy, Forward, Miss, Progress, Request, Settled
from lockstep.worker.record.redis import RedisStore
from tests.contract.bench import Bench, Counts

ABSENT = Seen(Presence.ABSENT)
PRESENT = Seen(Presence.PRESENT, '{"groupId": "g", "colour": "red"}')
A, B, C = HostName("a"), HostName("b"), HostName("c")
GROUP = GroupId("g")
LONG = 10_000_000
RETRIES = 2
VERDICTS = [each for each in Effect if each.value not in ("replaced", "later", "started", "not_sent")]
"""What came of a write of a group."""
EFFECTS = [each for each in Effect if each.value not in ("unshown", "already", "not_applied")]
"""What came of a write of a thing with content."""


class Driver:
    """One operation on the hosts a and b, unless told otherwise."""

    def __init__(self, bench: Bench, name: str = "one", action: Action = Action.CREATE) -> None:
        self.bench = bench
        self.store: RedisStore = bench.store
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

    def accept(self, hosts: tuple[HostName, ...] = (A, B), deadline: int = LONG) -> Accepted | Busy:
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
        self, host: HostName, look: str, reason: str = "GET 500", miss: Miss = Miss.ANSWERED
    ) -> Progress:
        return self.store.missed(self.id, host, f"url-of-{host}", AttemptId(look), reason, miss)

    def finish(self, host: HostName, attempt: str, verdict: Effect, answer: str = "said") -> Progress:
        return self.store.finish(self.id, host, AttemptId(attempt), verdict, answer)

    def apply(self, *hosts: HostName) -> Driver:
        """Bring hosts to the outcome `applied`, each by one write."""
        for host in hosts:
            self.begin(host, f"{host}1")
            self.finish(host, f"{host}1", Effect.APPLIED)
        return self

    def commit(self) -> Driver:
        """Be sure that the last outcome has committed it."""
        assert self.kept().decision is Decision.COMMIT
        return self

    def roll_back(self, reason: str = "why") -> Driver:
        assert self.store.cancel(self.id, reason) is None
        return self

    def undoing(self, *hosts: HostName) -> Driver:
        """Change hosts, each by one write that is answered after it was decided to roll back."""
        for host in hosts:
            self.begin(host, f"{host}1")
        self.roll_back()
        for host in hosts:
            self.finish(host, f"{host}1", Effect.APPLIED)
        return self

    def begin_undo(self, host: HostName, attempt: str) -> Forward:
        return self.store.begin_undo(self.id, host, f"url-of-{host}", AttemptId(attempt), Millis(0)).next

    def finish_undo(self, host: HostName, attempt: str, verdict: Effect, lost: tuple[str, ...] = ()) -> bool:
        said = self.store.finish(self.id, host, AttemptId(attempt), verdict, "said", lost_fields=lost)
        return said.next is Forward.RESTORED

    def undo(self, *hosts: HostName) -> Driver:
        """Restore hosts, each by one clean write."""
        for host in hosts:
            self.begin_undo(host, f"undo {host}")
            assert self.finish_undo(host, f"undo {host}", Effect.APPLIED)
        return self

    def look(
        self, host: HostName, seen: Seen, open_before: int | None = None, sent_at: Millis | None = None
    ) -> Settled:
        """Record a GET that was sent now, with what is open now."""
        opened = len(self.step(host).open_attempts) if open_before is None else open_before
        sent = self.bench.now() if sent_at is None else sent_at
        return self.store.settle(self.id, host, sent, opened, seen.presence)

    def claim(self, *, resume: bool = False) -> tuple[HostName, ...]:
        """Claim what is to be published next; return its hosts."""
        claim = self.store.claim(self.id, resume=resume)
        return tuple(sorted(claim.hosts)) if claim else ()

    def due(self) -> bool:
        return self.id in self.store.due(100)

    def kept(self) -> Status:
        found = self.store.operation(self.id)
        assert found is not None
        return found

    def counts(self) -> Counts:
        return self.bench.counts(self.id)

    def step(self, host: HostName) -> Step:
        return next(step for step in self.store.steps(self.id) if step.host == host)

    def attempt(self, host: HostName, attempt: str) -> Attempt:
        return next(each for each in self.step(host).attempts if each.id == attempt)

    def locked(self) -> bool:
        """Whether another operation is kept off the group."""
        return "lock:g" in self.bench.key_names()
