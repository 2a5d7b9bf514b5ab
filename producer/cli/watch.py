"""lockstep watch: operations as they go on; a moving table on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.board import (
    Changes,
    host_json,
    host_lines,
    hosts_table,
    operation_json,
    operation_lines,
    operations_table,
)
from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import debug_option, pass_session
from lockstep.producer.cli.output import answer, printable, reader_gone
from lockstep.producer.cli.session import Session
from lockstep.producer.process import Stopped
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Operation

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lockstep.producer.client import ClusterClient

EVERY = 1.0
"""Seconds between readings of all operations."""
EXAMPLES = """\b
Examples:
  lockstep watch
  lockstep watch 7f3c81d2aa01
  lockstep watch | grep rolling_back

Ctrl-C ends the watching, never an operation."""
Show = Callable[["RenderableType"], None]


@click.command(epilog=EXAMPLES)
@click.argument("operation_id", metavar="[OPERATION]", required=False)
@click.option("--limit", type=int, default=20, show_default=True, metavar="N", help="At most so many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line (fields: docs/cli.md).")
@debug_option
@pass_session
def watch(session: Session, operation_id: str | None, limit: int, as_json: bool) -> Exit:
    """Watch the newest operations, or every host of OPERATION until it ends."""
    client = session.client()
    try:
        if operation_id is None:
            _watch_all(client, limit, as_json)
        else:
            session.going_on = f"nothing was written; `lockstep watch {operation_id}` goes on watching"
            _watch_one(client, operation_id, as_json)
    except Stopped:
        raise
    except KeyboardInterrupt:
        pass  # the way to leave it
    return Exit.OK


def _watch_all(client: ClusterClient, limit: int, as_json: bool) -> None:
    changes = Changes()
    with _live(as_json) as show:
        for operations in _readings(client, limit):
            if show:
                show(operations_table(operations))
            else:
                lines = operation_json(operations) if as_json else operation_lines(operations)
                _tell(changes.of(lines))
            if reader_gone():
                return


def _readings(client: ClusterClient, limit: int) -> Iterator[tuple[Operation, ...] | None]:
    yield client.operations(limit)
    while True:
        time.sleep(EVERY)
        try:
            found: tuple[Operation, ...] | None = client.operations(limit)
        except StoreUnavailable:
            found = None
        yield found


def _watch_one(client: ClusterClient, operation_id: str, as_json: bool) -> None:
    changes = Changes()
    known: Operation | None = None
    with _live(as_json) as show:
        for operation, steps in client.find(operation_id).watch_hosts():
            known = operation or known
            if show:
                show(hosts_table(operation, steps, known))
            else:
                lines = host_json(operation, steps) if as_json else host_lines(operation, steps, known)
                _tell(changes.of(lines))
            if reader_gone():
                return


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        if line:
            answer(printable(line))


def _live(as_json: bool) -> AbstractContextManager[Show | None]:
    if as_json or not sys.stdout.isatty():
        return nullcontext(None)
    return _Live()


class _Live:
    """A table that is drawn over; rich respects NO_COLOR."""

    def __enter__(self) -> Show:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False)
        self._live.start()
        return lambda drawn: self._live.update(drawn, refresh=True)

    def __exit__(self, *_: object) -> None:
        self._live.stop()
