"""What the command prints: answers on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

import click

from lockstep.worker.secrets import mask

COLOURS = {
    "committed": "green",
    "applying": "cyan",
    "rolling_back": "yellow",
    "rolled_back": "red",
    "abandoned": "red",
    "ok": "green",
    "warning": "yellow",
    "failure": "red",
}
GAP = "  "


def answer(text: str) -> None:
    """Print a line of the answer."""
    _write(sys.stdout, text)


def note(text: str) -> None:
    """Print lines for the person who waits; whatever they quote cannot move the cursor."""
    _write(sys.stderr, "\n".join(map(printable, text.split("\n"))))


def answer_json(document: Mapping[str, object]) -> None:
    """Print the answer as one JSON document."""
    answer(json.dumps(document, indent=2))


def answer_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns, with states in colour on a terminal."""
    table = [tuple(header), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        answer(GAP.join(map(paint, cells)).rstrip())


def paint(cell: str) -> str:
    """Colour a cell that starts with a state, where stdout is a terminal and NO_COLOR is not set."""
    colour = COLOURS.get(cell.strip().partition(",")[0])
    if colour is None or not colourful(sys.stdout):
        return cell
    return click.style(cell, fg=colour)


def colourful(stream: IO[str] | None) -> bool:
    """Tell whether colours are wanted on a stream."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


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
