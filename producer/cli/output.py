"""Lines, tables and JSON documents, to a terminal or into a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import click

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.operators.history import Event
from lockstep.worker.operation.errors import RecordGone, StoreUnavailable
from lockstep.worker.operation.model import Millis, RolloutState, State, Status, Step
from lockstep.worker.operation.story import host_result
from lockstep.worker.process.secrets import mask

if TYPE_CHECKING:
    from lockstep.producer.client.operation import Operation as Handle
    from lockstep.worker.record.reports import HeldInventory

MOMENTS = {"at", "since", "until", "seen_at", "read_at", "due_at", "bake_until", "expires_at", "known_at"} | {
    f"{what}_at" for what in ("created", "deadline", "decided", "ended")
}
LEVEL_WIDTH = 8


def document(of: object, names: str) -> dict[str, object]:
    """Return attributes by their names, as JSON knows them: moments as text.

    `expected=end.presence` gives one another name, and takes it from what `end` is; None if that is None.
    """
    found = {}
    for each in names.split():
        name, _, path = each.rpartition("=")
        value: Any = of
        for attribute in path.split("."):
            value = None if value is None else getattr(value, attribute)
        found[name or path] = moment(value) if (name or path) in MOMENTS else value
    return found


def operation_document(operation: Status) -> dict[str, object]:
    """Return an operation without its hosts."""
    return {
        **document(operation, "id group action verb state"),
        "committed": operation.state is State.COMMITTED,
        **document(operation, "settling ended reason hosts_total hosts_done pending_hosts stalled_hosts"),
        **document(operation, "created_by created_at deadline_at decided_at ended_at"),
        **({"waves": _waves(operation.rollout)} if operation.rollout else {}),
    }


def _waves(rollout: RolloutState) -> dict[str, object]:
    return {
        **document(rollout, "wave waves stage bake_until expires_at"),
        "hold": rollout.hold and document(rollout.hold, "number who why since until"),
        "course": [document(each, "at what number said") for each in rollout.moments],
    }


def full_document(operation: Status, steps: Iterable[Step]) -> dict[str, object]:
    """Return an operation with its hosts."""
    return {**operation_document(operation), "hosts": [_host(operation, step) for step in steps]}


def event_document(event: Event) -> dict[str, object]:
    known = "known_as=attempt.state known_at=attempt.closed_at attempt=attempt.id"
    return document(event, f"at what host undo=attempt.undo said {known}")


def inventory_document(worker: str, held: HeldInventory) -> dict[str, object]:
    return {"worker": worker, **document(held, "digest hosts read_at"), "fault": held.fault or None}


def unread_document(id: str, group: str, action: str) -> dict[str, object]:  # noqa: A002
    """Return what is known of an operation whose record cannot be read, or is gone."""
    return {"id": id, "group": group, "action": action, "state": None, "committed": None}


def moment(at: Millis | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _host(operation: Status, step: Step) -> dict[str, object]:
    host = host_result(operation, step)
    return {
        **document(host, "host before outcome undo attempts reason due_at lost_fields story=story.text"),
        **document(host, "changed=story.changed changed_by=story.changed_by"),
        **document(host, "changed_after_decision=story.changed_late undone_by=story.undone"),
        **(document(host, "wave gate") if operation.rollout else {}),
    }


def read_document(operation: Handle) -> dict[str, object]:
    """Read the operation for --json; that it cannot be read does not make the command fail."""
    try:
        return full_document(operation.status(), operation.steps())
    except (StoreUnavailable, RecordGone):
        return unread_document(operation.id, operation.group, operation.action)


COLOURS: dict[State | Level, str] = {
    State.COMMITTED: "green",
    State.APPLYING: "cyan",
    State.ROLLING_BACK: "yellow",
    State.ROLLED_BACK: "red",
    State.ABANDONED: "red",
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.FAILURE: "red",
}
Cell = str | tuple[str, str]
"""What a table has in one place: a text, or a text and its colour."""


def tell(finding: Finding, width: int) -> None:
    """Print a finding, with its remedy on a line of its own; subjects take `width` characters."""
    level = paint(finding.level.ljust(LEVEL_WIDTH), COLOURS[finding.level])
    head = f"{level} {finding.subject.ljust(width)}"
    answer(f"{head} {printable(finding.text)}")
    if finding.remedy:
        answer(f"{'':{LEVEL_WIDTH + width + 2}}-> {printable(finding.remedy)}")


def answer(text: str) -> None:
    _write(sys.stdout, text)


def note(text: str) -> None:
    """Print lines for the person who waits; whatever they quote cannot move the cursor."""
    _write(sys.stderr, "\n".join(map(printable, text.split("\n"))))


def answer_json(document: Mapping[str, object]) -> None:
    answer(json.dumps(document, indent=2))


def answer_table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print rows in columns, with their colours on a terminal."""
    table = [[in_colour(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(text) for text, _ in column) for column in zip(*table, strict=True)]
    for row in table:
        cells = zip(row, widths, strict=True)
        answer("  ".join(paint(text.ljust(width), colour) for (text, colour), width in cells).rstrip())


def in_colour(cell: Cell) -> tuple[str, str]:
    """Return the text of a cell, which cannot move the cursor, and its colour, empty for none."""
    text, colour = (cell, "") if isinstance(cell, str) else cell
    return printable(text), colour


def paint(text: str, colour: str) -> str:
    """Colour a text where stdout is a terminal and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain or not colour else click.style(text, fg=colour)


def printable(text: str) -> str:
    """Return text that cannot move the cursor: what is not printable is escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def reader_gone() -> bool:
    """Tell whether nobody reads stdout any more, also when nothing has been written for long."""
    if getattr(sys.stdout, "gone", False):
        return True
    with contextlib.suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    return False


def _write(stream: IO[str], text: str) -> None:
    stream.write(mask(text) + "\n")
    stream.flush()
