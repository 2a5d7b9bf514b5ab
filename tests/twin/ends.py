"""What outlives operations in the twin: the last ends, what the patrol suspects, and the drift it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lockstep.worker.operation.drift import Drift, End, ForgottenGroup
from lockstep.worker.operation.model import (
    Action,
    Decision,
    GroupId,
    HostName,
    Loss,
    Millis,
    OperationId,
    Presence,
    State,
    Undo,
)
from lockstep.worker.operation.thing import ThingEnd
from lockstep.worker.operation.transitions import Phase
from tests.twin.books import Books
from tests.twin.record import Record


class MemoryEnds(Books):
    """The Ends protocol."""

    def now(self) -> Millis:
        """Return the store's time."""
        return self.clock()

    def ends(self, group: GroupId) -> dict[HostName, End]:
        """Return what the last ended operations left of a group, per host that they covered."""
        return dict(self.left.get(group, {}))

    def contents_left(self, group: GroupId) -> dict[HostName, ThingEnd]:
        """Return what the last ended operations on a thing left on each host that they covered."""
        return dict(self.contents.get(group, {}))

    def groups_with_ends(self) -> Iterator[GroupId]:
        """Yield every group of which an operation has ended; in no order, each once."""
        yield from self.left

    def forget_group(self, group: GroupId, before: Millis, *, dry_run: bool = False) -> ForgottenGroup | None:
        """Forget a group that all its hosts were without before a moment; None if it is kept."""
        ends = self.left.get(group, {})
        watched = group in self.looks or any(of == group for of, _, _ in self.suspected)
        drifts = any(of == group for of, _ in self.drifted)
        gone = all(end.presence is Presence.ABSENT and end.at < before for end in ends.values())
        if not ends or group in self.locks or watched or drifts or not gone:
            return None
        if not dry_run:
            del self.left[group]
        return ForgottenGroup(group, len(ends), max(end.at for end in ends.values()))

    def forget_deleted(self, older_than: int) -> int:
        """Look at all groups, and forget those that were deleted longer ago than so many ms."""
        before = Millis(self.clock() - older_than)
        return sum(self.forget_group(group, before) is not None for group in list(self.left))

    def lock_owner(self, group: GroupId) -> OperationId | None:
        """Return the operation that works on the group just now."""
        return self.locks.get(group)

    def patrol_due(self, limit: int) -> tuple[GroupId, ...]:
        """Return groups that the patrol is to look at, the longest overdue first."""
        now = self.clock()
        due = sorted((at, group) for group, at in self.looks.items() if at <= now)
        return tuple(group for _, group in due[:limit])

    def suspicions(self, group: GroupId) -> dict[tuple[HostName, Presence], Millis]:
        """Return when writes of unknown fate, which would bring this presence to a host, were given up."""
        return {(host, brings): at for (of, host, brings), at in self.suspected.items() if of == group}

    def patrol_again(self, group: GroupId, at: Millis | None, newest: Millis) -> None:
        """Look at the group again then; None takes it off the list, with its suspicions up to `newest`."""
        suspicions = self.suspicions(group)
        if any(since > newest for since in suspicions.values()):
            return
        if at is None:
            self.looks.pop(group, None)
            for host, brings in suspicions:
                del self.suspected[group, host, brings]
        elif group in self.looks:
            self.looks[group] = at

    def keep_drift(
        self, group: GroupId, ends: Mapping[HostName, End], found: Mapping[HostName, Drift | None]
    ) -> list[Drift] | None:
        """Record the drift of these hosts (None: none any more); return what was not known yet.

        Returns None, and records nothing, if an operation works on the group, or has ended since `ends` was
        read: what a host showed in between is no drift.
        """
        if group in self.locks or self.left.get(group, {}) != ends:
            return None
        new: list[Drift] = []
        for host, drift in found.items():
            known = self.drifted.get((group, host))
            if drift is None:
                self.drifted.pop((group, host), None)
            elif known is None or known.end != drift.end:
                self.drifted[group, host] = drift
                new.append(drift)
        return new

    def drifts(self) -> list[Drift]:
        """Return the drift that the patrol found and that has not gone since."""
        return [self.drifted[name] for name in sorted(self.drifted, key=" ".join)]

    def note_lost(self, operation: OperationId, group: GroupId, action: Action | None = None) -> Loss | None:
        """Keep that the record of an accepted operation is gone; None if retention dropped it."""
        if operation in self.dropped:
            return None
        return self.gone.setdefault(operation, Loss(operation, group, action, self.clock()))

    def lost(self) -> dict[OperationId, Loss]:
        """Return the operations whose record is gone."""
        return dict(self.gone)

    def _end_if_done(self, record: Record) -> None:
        if record.ended or record.decision is None:
            return
        rolling_back = record.decision is Decision.ROLL_BACK
        if record.open or (rolling_back and record.undo):
            if not rolling_back and record.dispatched is not Phase.SETTLE:
                for host in record.open:
                    quiet = max(each.quiet for each in record.steps[host].open_attempts())
                    record.waits[host] = max(quiet, self.clock())
                record.dispatched = Phase.SETTLE
            return
        if rolling_back:
            record.state = State.ABANDONED if record.abandoned else State.ROLLED_BACK
        self._keep_ends(record)
        self._keep_suspicions(record)
        record.ended, record.ended_at = True, self.clock()
        for working_set in (record.todo, record.undo, record.open, record.waits, record.later):
            working_set.clear()
        if self.locks.get(record.lock) == record.id:
            del self.locks[record.lock]
        self.heard("ended", record)

    def _keep_suspicions(self, record: Record) -> None:
        now = self.clock()
        if now - record.created_at < record.patience:
            return
        for suspect, at in self.suspected.items():
            if suspect[0] == record.group:
                self.suspected[suspect] = Millis(at + now - max(at, record.created_at))

    def _keep_ends(self, record: Record) -> None:
        if record.repairs and record.decision is Decision.ROLL_BACK:
            return
        kept = self.left.setdefault(record.group, {})
        for host, step in record.steps.items():
            was = None if step.undo is Undo.ABANDONED else step.before
            shows = record.target if record.decision is Decision.COMMIT else was
            if shows is not None:
                kept[host] = End(shows, record.id, self.clock(), step.fingerprint)
                self.drifted.pop((record.group, host), None)
        if not kept:
            del self.left[record.group]
