"""What `lockstep watch` shows: pure functions of what was read."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import command, option
from lockstep.producer.cli.output import (
    Cell,
    answer,
    full_document,
    in_colour,
    operation_document,
    printable,
    reader_gone,
)
from lockstep.producer.cli.text import LIST_HEADER, SILENT, describe, hosts_told, list_row
from lockstep.producer.process import Stopped
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Status, Step

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lockstep.producer.client.client import ClusterClient

Lines = list[tuple[str, str]]
"""Each under a key: told again only if it differs from the last one under it."""


class NewLines:
    """Tells lines that were not told before: for a pipe, where nothing can be drawn over."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def of(self, lines: Lines) -> list[str]:
        new = [(key, line) for key, line in lines if self._told.get(key) != line]
        self._told.update(new)
        return [line for _, line in new]


def operation_lines(newest: Sequence[Status] | None) -> Lines:
    """Return a line per operation, oldest first, by its id; None means that Redis does not answer."""
    if newest is None:
        return [("", SILENT)]
    return [("", ""), *((each.id, describe(each)) for each in reversed(newest))]


def host_lines(operation: Status | None, steps: Iterable[Step], known: Status | None = None) -> Lines:
    """Return a line for each host, then one for the operation; `known` is what it was when last read."""
    _, rows = hosts_told(operation or known, list(steps))
    return [*((row[0], "  ".join(row)) for row in rows), ("", describe(operation))]


def operation_json(newest: Sequence[Status] | None) -> Lines:
    """Return a JSON document per operation, oldest first; nothing while Redis does not answer."""
    return [(each.id, json.dumps(operation_document(each))) for each in reversed(newest or ())]


def host_json(operation: Status | None, steps: Iterable[Step], *_: object) -> Lines:
    """Return the operation with its hosts as a JSON document; nothing while Redis does not answer."""
    return [(operation.id, json.dumps(full_document(operation, steps)))] if operation else []


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> RenderableType:
    """Return a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*header, box=None, pad_edge=False, caption=Text(caption), caption_justify="left")
    for row in rows:
        drawn.add_row(*(Text(text, colour) for text, colour in map(in_colour, row)))
    return drawn


def operations_table(operations: Sequence[Status] | None) -> RenderableType:
    """Return all operations as a table, their times told by the clock."""
    caption = SILENT if operations is None else "" if operations else "no operations yet"
    return table(LIST_HEADER, (list_row(each, None) for each in operations or ()), caption)


def hosts_table(
    operation: Status | None, steps: Iterable[Step], known: Status | None = None
) -> RenderableType:
    """Return one operation's hosts as a table; `known` is what it was when last read."""
    return table(*hosts_told(operation or known, list(steps)), printable(describe(operation)))


EVERY = 1.0
"""Seconds between readings of all operations."""


@command(lines=True)
@click.argument("operation_id", metavar="[OPERATION]", required=False)
@option("--limit N", "At most N rows.", default=20)
def watch(session: Session, operation_id: str | None, limit: int) -> Exit:
    """Watch the newest operations, or every host of OPERATION until it ends.

    Examples:
      lockstep watch
      lockstep watch 7f3c81d2aa01
      lockstep watch | grep rolling_back

    Ctrl-C ends the watching, never an operation.
    """
    client, as_json = session.client(), session.as_json
    try:
        if operation_id is None:
            lines = operation_json if as_json else operation_lines
            follow(_readings(client, limit), operations_table, lines, as_json)
        else:
            session.going_on = f"nothing was written; `lockstep watch {operation_id}` goes on watching"
            readings = client.find(operation_id).watch_hosts()
            follow(readings, hosts_table, host_json if as_json else host_lines, as_json)
    except Stopped:
        raise
    except KeyboardInterrupt:
        pass  # the way to leave it
    return Exit.OK


def follow(
    readings: Iterable[tuple[Any, ...]],
    drawn: Callable[..., RenderableType],
    lines: Callable[..., Lines],
    as_json: bool = False,
    transient: bool = False,
) -> None:
    """Show each reading: draw it over the last on a terminal, else tell what is new of its lines.

    What is `transient` is gone from the terminal at the end. Returns once nobody reads it any more.
    """
    changes, live = NewLines(), None
    with ExitStack() as drawing:
        if not as_json and sys.stdout.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(highlight=False)
            live = drawing.enter_context(Live(console=console, auto_refresh=False, transient=transient))
        for reading in readings:
            if live is not None:
                live.update(drawn(*reading), refresh=True)
            else:
                for line in filter(None, changes.of(lines(*reading))):
                    answer(printable(line))
            if reader_gone():
                return


def _readings(client: ClusterClient, limit: int) -> Iterator[tuple[Sequence[Status] | None]]:
    found: Sequence[Status] | None = client.operations(limit)
    while True:
        yield (found,)
        time.sleep(EVERY)
        found = None
        with suppress(StoreUnavailable):
            found = client.operations(limit)
