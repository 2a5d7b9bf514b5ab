"""The JSON documents of the command. Fields are added, never renamed or dropped; docs/cli.md lists them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lockstep.producer.results import HostResult, host_result
from lockstep.producer.timeline import Event
from lockstep.worker.operation.errors import RecordGone, StoreUnavailable
from lockstep.worker.operation.model import Millis, Operation, Step
from lockstep.worker.operation.states import State

if TYPE_CHECKING:
    from lockstep.producer.handle import Operation as Handle
    from lockstep.worker.store.clocks import Held


def operation_document(operation: Operation) -> dict[str, object]:
    """Return an operation without its hosts."""
    return {
        "id": operation.id,
        "group": operation.group,
        "action": operation.action,
        "state": operation.state,
        "committed": operation.state is State.COMMITTED,
        "settling": operation.settling,
        "ended": operation.ended,
        "reason": operation.reason,
        "hosts_total": operation.hosts_total,
        "hosts_done": operation.hosts_done,
        "pending_hosts": list(operation.pending_hosts),
        "stalled_hosts": list(operation.stalled_hosts),
        "created_by": operation.created_by,
        "created_at": moment(operation.created_at),
        "deadline_at": moment(operation.deadline_at),
        "decided_at": moment(operation.decided_at),
        "ended_at": moment(operation.ended_at),
    }


def full_document(operation: Operation, steps: Iterable[Step]) -> dict[str, object]:
    """Return an operation with its hosts."""
    return {**operation_document(operation), "hosts": [_host(host_result(operation, step)) for step in steps]}


def event_document(event: Event) -> dict[str, object]:
    """Return one moment of an operation."""
    attempt = event.attempt
    return {
        "at": moment(event.at),
        "what": event.what,
        "host": event.host,
        "undo": attempt.undo if attempt else None,
        "said": event.said,
        "known_as": attempt.state if attempt else None,
        "known_at": moment(attempt.closed_at) if attempt else None,
        "attempt": attempt.id if attempt else None,
    }


def inventory_document(worker: str, held: Held) -> dict[str, object]:
    """Return the inventory that a worker has."""
    return {
        "worker": worker,
        "digest": held.digest,
        "hosts": held.hosts,
        "read_at": moment(held.read_at),
        "fault": held.fault or None,
    }


def unread_document(id: str, group: str, action: str) -> dict[str, object]:  # noqa: A002
    """Return what is known of an operation whose record cannot be read, or is gone."""
    return {"id": id, "group": group, "action": action, "state": None, "committed": None}


def moment(at: Millis | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _host(host: HostResult) -> dict[str, object]:
    return {
        "host": host.host,
        "before": host.before,
        "outcome": host.outcome,
        "undo": host.undo,
        "attempts": host.attempts,
        "reason": host.reason,
        "due_at": moment(host.due_at),
        "lost_fields": list(host.lost_fields),
        "story": host.story.text,
        "changed": host.story.changed,
        "changed_by": host.story.changed_by,
        "changed_after_decision": host.story.changed_late,
        "undone_by": host.story.undone,
    }


def read_document(operation: Handle) -> dict[str, object]:
    """Read the operation for --json; that it cannot be read does not make the command fail."""
    try:
        return full_document(operation.status(), operation.steps())
    except (StoreUnavailable, RecordGone):
        return unread_document(operation.id, operation.group, operation.action)
