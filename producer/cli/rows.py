"""Operations and hosts as people read them: a line each."""

from __future__ import annotations

from producer.cli.documents import moment
from producer.results import HostResult
from producer.timeline import Event
from producer.wording import seconds
from worker.operation.model import Operation

NOTHING = "-"
HOST_HEADER = ("HOST", "BEFORE", "OUTCOME", "UNDO", "ATTEMPTS", "NOTE")
LIST_HEADER = ("OPERATION", "ACTION", "GROUP", "STATE", "HOSTS", "CREATED", "BY")
TIMELINE_HEADER = ("AFTER", "HOST", "WHAT", "SAID", "KNOWN AS", "KNOWN AFTER")


def facts_of(operation: Operation) -> list[tuple[str, str]]:
    """Return what is known of an operation as a whole: names and values."""
    waiting = ", settling" if operation.settling else ""
    facts = [
        ("operation", operation.id),
        (str(operation.action), operation.group),
        ("state", f"{operation.state}{waiting}"),
        ("reason", operation.reason),
        ("hosts", _progress(operation)),
        ("pending", ", ".join(operation.pending_hosts)),
        ("by", operation.created_by),
        ("created", moment(operation.created_at)),
        ("decided", moment(operation.decided_at)),
        ("ended", moment(operation.ended_at)),
    ]
    return [(name, value) for name, value in facts if value]


def _progress(operation: Operation) -> str:
    return f"{operation.hosts_done}/{operation.hosts_total}"


def host_row(host: HostResult) -> tuple[str, ...]:
    """Return a host under HOST_HEADER."""
    notes = [host.reason] if host.reason else []
    if host.due_at is not None:
        notes.append(f"again at {moment(host.due_at)}")
    if host.lost_fields:
        notes.append(f"lost fields: {', '.join(host.lost_fields)}")
    undo = NOTHING if host.undo == "none" else str(host.undo)
    before, outcome = host.before or NOTHING, host.outcome or NOTHING
    return (host.host, before, outcome, undo, str(host.attempts), "; ".join(notes) or NOTHING)


def list_row(operation: Operation) -> tuple[str, ...]:
    """Return an operation under LIST_HEADER."""
    state = f"{operation.state}{', settling' if operation.settling else ''}"
    created = moment(operation.created_at) or NOTHING
    return (
        operation.id,
        str(operation.action),
        operation.group,
        state,
        _progress(operation),
        created,
        operation.created_by,
    )


def event_row(operation: Operation, event: Event) -> tuple[str, ...]:
    """Return a moment under TIMELINE_HEADER."""
    after = seconds(event.at - operation.created_at)
    if event.attempt is None:
        return (after, NOTHING, event.what, event.said or NOTHING, NOTHING, NOTHING)
    what = f"{event.what} to undo" if event.attempt.undo else event.what
    known_as = event.attempt.state.replace("_", " ")
    took = NOTHING if event.took is None else seconds(event.took)
    return (after, event.host or NOTHING, what, event.said or NOTHING, known_as, took)
