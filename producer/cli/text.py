"""Rows, sentences and progress, in words for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lockstep.producer.cli.output import COLOURS, Cell, note, printable
from lockstep.producer.operators.history import Event
from lockstep.worker.operation.host import age, local
from lockstep.worker.operation.model import Millis, Outcome, State, Status, Step, Undo
from lockstep.worker.operation.names import counted, named, seconds
from lockstep.worker.operation.story import HostResult, Result, host_result
from lockstep.worker.operation.waves import idle, told_hold, told_rollout

C = TypeVar("C", bound=Cell)
NOTHING = "-"
DAY = 86_400_000
"""Milliseconds for which an age tells more than a date."""
HOST_HEADER = ("HOST", "BEFORE", "WHAT HAPPENED", "WRITES", "NOTE")
LIST_HEADER = ("OPERATION", "ACTION", "GROUP", "STATE", "HOSTS", "CREATED", "BY")
TIMELINE_HEADER = ("AFTER", "HOST", "WHAT", "SAID", "RESULT", "TOOK")


def facts_of(operation: Status, now: Millis | None) -> list[tuple[str, Cell]]:
    """Return what is known of an operation itself; without `now` not how long ago it was."""

    def at(moment: Millis | None) -> str | None:
        ago = f", {age(moment, now)}" if moment and now else ""
        return f"{local(moment)}{ago}" if moment else None

    facts: list[tuple[str, Cell | None]] = [
        ("operation", operation.id),
        (operation.verb, operation.group),
        ("state", (_state(operation), COLOURS[operation.state])),
        ("reason", operation.reason),
        ("hosts", f"{operation.hosts_done}/{operation.hosts_total}"),
        ("waves", _waves(operation)),
        ("hold", told_hold(operation.rollout, now) if operation.rollout else None),
        ("pending", ", ".join(operation.pending_hosts)),
        ("by", operation.created_by),
        ("created", at(operation.created_at)),
        ("decided", at(operation.decided_at)),
        ("ended", at(operation.ended_at)),
    ]
    return [(name, value) for name, value in facts if value]


def standing(operation: Status) -> str | None:
    """Return how far an operation with waves is; None for one without, or one that is decided."""
    if operation.rollout is None or operation.decision is not None:
        return None
    return told_rollout(operation.rollout)


def _waves(operation: Status) -> str | None:
    rollout = operation.rollout
    if rollout is None or operation.decided_at is None:
        return standing(operation)
    slept = seconds(idle(operation, operation.decided_at))
    return f"{rollout.wave} of {rollout.waves} opened, {slept} of baking and holds"


def host_table(
    operation: Status | None, header: Sequence[str], rows: Iterable[Sequence[C]], steps: Iterable[Step]
) -> tuple[Sequence[str], Sequence[Sequence[C | str]]]:
    """Return a table with a row for each host; with waves they stand in a column, in their order."""
    if operation is None or operation.rollout is None:
        return header, list(rows)
    by_wave = sorted(zip(steps, rows, strict=True), key=lambda pair: pair[0].wave)
    placed = [(row[0], str(step.wave), *row[1:]) for step, row in by_wave]
    return (header[0], "WAVE", *header[1:]), placed


def hosts_told(
    operation: Status | None, steps: Sequence[Step]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the table of what happened to each host; it is empty before the operation could be read."""
    rows = [host_row(host_result(operation, step)) for step in steps] if operation else []
    return host_table(operation, HOST_HEADER, rows, steps)


def _state(operation: Status) -> str:
    return f"{operation.state}, settling" if operation.settling else operation.state


def host_row(host: HostResult) -> tuple[str, ...]:
    unknown = "unknown: " if host.outcome is Outcome.UNKNOWN else ""
    notes = [unknown + host.reason] if host.reason else []
    if host.due_at is not None:
        notes.append(f"again at {local(host.due_at)}")
    if host.lost_fields:
        notes.append(f"lost fields: {', '.join(host.lost_fields)}")
    note = "; ".join(notes) or NOTHING
    return (host.host, host.before or NOTHING, host.story.text, str(host.attempts), note)


def list_row(operation: Status, now: Millis | None) -> tuple[Cell, ...]:
    """Return an operation under LIST_HEADER: one of the last day with its age, for which `now` is needed."""
    state, rollout = _state(operation), operation.rollout
    if rollout is not None and operation.decision is None:
        hold = told_hold(rollout, now)
        stage = f"{hold}" if rollout.hold else f"{rollout.stage}, {hold}" if hold else rollout.stage
        state += f", wave {rollout.wave}/{rollout.waves} {stage}"
    at = operation.created_at
    created = local(at) if now is None or now - at > DAY else age(at, now)
    asked = operation.id, operation.verb, operation.group
    done = f"{operation.hosts_done}/{operation.hosts_total}"
    return (*asked, (state, COLOURS[operation.state]), done, created, operation.created_by)


def event_row(operation: Status, event: Event) -> tuple[str, ...]:
    after = seconds(event.at - operation.created_at)
    if event.attempt is None:
        return (after, event.host or NOTHING, event.what, event.said or NOTHING, NOTHING, NOTHING)
    what = f"{event.what} to undo" if event.attempt.undo else event.what
    known_as = event.attempt.state.replace("_", " ")
    took = NOTHING if event.took is None else seconds(event.took)
    return (after, event.host or NOTHING, what, event.said or NOTHING, known_as, took)


DONE = {"create": "created", "delete": "deleted", "set": "set"}
SO_BEFORE = {"create": "there before", "delete": "gone before", "set": "so before"}


def sentence(result: Result, verb: str) -> str:
    """Return one line; it ends with the operation's id. The verb is create, set or delete."""
    return f"{_told(result, verb)} (operation {result.operation_id})"


def _told(result: Result, verb: str) -> str:
    kind, _, name = result.group.partition("/")
    group = f'{kind} "{name}"' if name else f'group "{result.group}"'
    match result.state:
        case State.COMMITTED:
            so_before = sum(host.outcome is Outcome.UNCHANGED for host in result.hosts)
            aside = f", {SO_BEFORE[verb]} on {so_before} of them" if so_before else ""
            return f"{DONE[verb]} {group} on {counted(len(result.hosts))}{aside}"
        case State.ROLLED_BACK:
            return f"rolled back, every host is as before: {verb} {group}, because {result.reason}"
        case State.ABANDONED:
            left = [host.host for host in result.hosts if host.undo is Undo.ABANDONED]
            return f"rolled back except on {named(left)}, abandoned: {verb} {group}, because {result.reason}"
    return (
        f"rolling back, {named(result.pending_hosts)} pending and retried until restored: "
        f"{verb} {group}, because {result.reason}"
    )


LINE_EVERY = 1.0
"""Seconds between plain lines while the state stays the same."""
SILENT = "Redis does not answer; waiting for it to come back"


@contextmanager
def showing(quiet: bool) -> Iterator[Callable[[Status | None], None]]:
    """Yield the display that fits stderr: a line that moves, or plain lines; `quiet` shows nothing."""
    if quiet:
        yield lambda status: None
    elif not sys.stderr.isatty():
        yield ProgressLines()
    else:
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True, highlight=False).status("waiting") as line:
            yield lambda status: line.update(Text(printable(describe(status))))


def describe(status: Status | None) -> str:
    if status is None:
        return SILENT
    count = f"{status.hosts_done} of {status.hosts_total} hosts done"
    if status.state is State.ROLLING_BACK:
        count = f"{len(status.pending_hosts)} of {status.hosts_total} hosts to restore"
    if waves := standing(status):
        count = f"{waves}; {count}"
    return f"{status.verb} {status.group}: {_state(status)}, {count} (operation {status.id})"


class ProgressLines:
    """A line when the state changes, and at most one a second while hosts come in."""

    def __init__(self) -> None:
        self._state: tuple[State, str | None] | None = None
        self._next = 0.0

    def __call__(self, status: Status | None) -> None:
        state = (status.state, standing(status)) if status else None
        if state is None or state != self._state or time.monotonic() >= self._next:
            note(describe(status))
            self._next = time.monotonic() + LINE_EVERY
        self._state = state
