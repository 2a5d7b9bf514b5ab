"""Operations and hosts as people read them: a line each."""

from __future__ import annotations

from lockstep.producer.results import HostResult
from lockstep.producer.timeline import Event
from lockstep.producer.wording import seconds
from lockstep.worker.operation.model import Millis, Operation
from lockstep.worker.operation.moment import age, local

NOTHING = "-"
DAY = 86_400_000
"""Milliseconds for which an age tells more than a date."""
HOST_HEADER = ("HOST", "BEFORE", "WHAT HAPPENED", "WRITES", "NOTE")
LIST_HEADER = ("OPERATION", "ACTION", "GROUP", "STATE", "HOSTS", "CREATED", "BY")
TIMELINE_HEADER = ("AFTER", "HOST", "WHAT", "SAID", "KNOWN AS", "KNOWN AFTER")


def facts_of(operation: Operation, now: Millis) -> list[tuple[str, str]]:
    """Return what is known of an operation as a whole: names and values."""

    def at(moment: Millis | None) -> str | None:
        return None if moment is None else f"{local(moment)}, {age(moment, now)}"

    waiting = ", settling" if operation.settling else ""
    facts = [
        ("operation", operation.id),
        (str(operation.action), operation.group),
        ("state", f"{operation.state}{waiting}"),
        ("reason", operation.reason),
        ("hosts", _progress(operation)),
        ("pending", ", ".join(operation.pending_hosts)),
        ("by", operation.created_by),
        ("created", at(operation.created_at)),
        ("decided", at(operation.decided_at)),
        ("ended", at(operation.ended_at)),
    ]
    return [(name, value) for name, value in facts if value]


def _progress(operation: Operation) -> str:
    return f"{operation.hosts_done}/{operation.hosts_total}"


def host_row(host: HostResult) -> tuple[str, ...]:
    """Return a host under HOST_HEADER."""
    notes = [host.reason] if host.reason else []
    if host.due_at is not None:
        notes.append(f"again at {local(host.due_at)}")
    if host.lost_fields:
        notes.append(f"lost fields: {', '.join(host.lost_fields)}")
    note = "; ".join(notes) or NOTHING
    return (host.host, host.before or NOTHING, host.story.text, str(host.attempts), note)


def list_row(operation: Operation, now: Millis | None) -> tuple[str, ...]:
    """Return an operation under LIST_HEADER: one of the last day with its age, for which `now` is needed."""
    state = f"{operation.state}{', settling' if operation.settling else ''}"
    at = operation.created_at
    created = local(at) if now is None or now - at > DAY else age(at, now)
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
