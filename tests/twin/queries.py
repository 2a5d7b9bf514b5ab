"""What people and the sweep read from the twin."""

from __future__ import annotations

from dataclasses import replace

from lockstep.worker.operation.model import Decision, HostName, Millis, OperationId, Status, Step
from lockstep.worker.operation.names import natural
from lockstep.worker.operation.transitions import Order, View
from tests.twin.ends import MemoryEnds
from tests.twin.record import FORMATS


class MemoryQueries(MemoryEnds):
    """Reads; only `lease` and `forget` change anything."""

    def view(self, operation: OperationId, host: HostName) -> View:
        """Read one step and the store's clock, before a GET is sent."""
        record = self._load(operation)
        if record is None:
            return View(None, self.clock(), None, False, None, None)
        step = record.steps.get(host)
        needed = host in record.undo
        shown = step.shown(host, needed) if step is not None else None
        return View(
            record.decision,
            self.clock(),
            shown,
            needed,
            record.action,
            record.group,
            record.decided_at,
            record.waves.round
            if record.waves and record.decision is None and host in record.waves.gating
            else None,
        )

    def due(self, limit: int) -> tuple[OperationId, ...]:
        """Return operations that the sweep is to look at, the longest overdue first."""
        now = self.clock()
        due = [(self._due(each), key) for key, each in self.records.items()]
        found = [(at, key) for at, key in due if at is not None and at <= now]
        return tuple([key for _, key in sorted(found)[:limit]])

    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue: it has none."""
        return 0

    def lease(self, name: str, milliseconds: int) -> bool:
        """Take a short lease for a periodic piece of work; False if somebody else holds it."""
        now = self.clock()
        if self.leases.get(name, now) > now:
            return False
        self.leases[name] = Millis(now + milliseconds)
        return True

    def keep_lease(self, name: str, milliseconds: int) -> None:
        """Have a lease last for so long from now."""
        self.leases[name] = Millis(self.clock() + milliseconds)

    def put_last(self, operation: OperationId, error: Exception, milliseconds: int) -> None:
        """Have an operation that cannot be read come after those that can: none is, here."""

    def note_done(self, name: str, milliseconds: int) -> None:
        """Keep note, for so long, that a periodic piece of work was done."""
        self.leases[f"{name}-done"] = Millis(self.now() + milliseconds)
        self.failed_jobs.pop(name, None)

    def note_failed(self, name: str, why: str) -> None:
        """Keep note of why a periodic piece of work failed, until it is done."""
        self.failed_jobs[name] = why

    def failing(self) -> dict[str, str]:
        """Read which periodic pieces of work failed when they were last tried, and why."""
        return dict(self.failed_jobs)

    def first(self, operation: OperationId, what: str) -> bool:
        """Tell whether `what` is done for an operation for the first time; the record remembers it."""
        record = self._load(operation)
        if record is None or what in record.did:
            return False
        record.did.add(what)
        return True

    def forget(self, older_than: int, beyond: int, at_most: int) -> int:
        """Drop ended records older than so many ms or beyond so many, `at_most` at once; say how many."""
        ended = sorted((each.ended_at, key) for key, each in self.records.items() if each.ended_at)
        horizon = self.clock() - older_than
        surplus = len(ended) - beyond
        old = [key for n, (at, key) in enumerate(ended) if at <= horizon or n < surplus][:at_most]
        return sum(map(self._forget, old))

    def _forget(self, operation: OperationId) -> bool:
        record = self.records.get(operation)
        if record is None or not record.ended or record.format not in FORMATS:
            return False
        del self.records[operation]
        self.dropped.add(operation)
        return True

    def exists(self, operation: OperationId) -> bool:
        """Tell whether there is a record of an operation."""
        return operation in self.records

    def operation(self, operation: OperationId) -> Status | None:
        """Read an operation; None when it is unknown."""
        record = self.records.get(operation)
        return record.shown() if record is not None else None

    def text(self, operation: OperationId, digest: str) -> str | None:
        """Read the text of a content, or another that the operation keeps; None if it is kept no more."""
        record = self.records.get(operation)
        return record.texts.get(digest) if record is not None else None

    def order(self, operation: OperationId) -> Order | None:
        """Read what an operation is about, which never changes; None when it is unknown."""
        record = self.records.get(operation)
        if record is None:
            return None
        shown = record.shown()
        return Order(shown.group, shown.action, frozenset(record.steps), record.content)

    def steps(self, operation: OperationId) -> tuple[Step, ...]:
        """Read the steps of an operation, in the natural order of their hosts."""
        record = self.records.get(operation)
        if record is None:
            return ()
        needed = record.undo if record.decision is Decision.ROLL_BACK else set[HostName]()

        def shown(host: HostName) -> Step:
            step = record.steps[host].shown(host, host in needed, record.waits.get(host))
            waits = host in record.queued
            return replace(step, reason=f"{step.reason}, {self._place(record, host)}") if waits else step

        return tuple(shown(host) for host in sorted(record.steps, key=natural))

    def operations(self, limit: int, offset: int = 0) -> tuple[Status, ...]:
        """Read operations, newest first."""
        newest = sorted(self.records.values(), key=lambda each: (each.created_at, each.id), reverse=True)
        return tuple(each.shown() for each in newest[offset : offset + limit])
