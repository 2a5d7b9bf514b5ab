"""lockstep apply: many groups in one run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import (
    Selection,
    as_option,
    debug_option,
    pass_session,
    selection_options,
)
from lockstep.producer.cli.output import answer, note, printable
from lockstep.producer.cli.session import Session
from lockstep.producer.naming import new_id
from lockstep.producer.wording import counted
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockstep.producer.many import Came

EXAMPLES = """\b
Examples:
  lockstep apply groups.txt
  lockstep apply wanted.yaml --where zone=eu --json
  cut -d, -f1 teams.csv | lockstep apply -
  lockstep apply groups.txt --resume 5d0c7e21b9aa

Lines are ids of groups to create; YAML has lists `present:` and `absent:`.
Exit codes: 0 all groups are as asked, 1 some are not."""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@selection_options
@click.option("--at-once", type=click.IntRange(1, 64), default=8, show_default=True, help="Groups at a time.")
@click.option("--resume", metavar="RUN", help="Go on with a run: what it started is not started again.")
@as_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line (fields: docs/cli.md).")
@debug_option
@pass_session
def apply(
    session: Session,
    *,
    file: IO[str],
    selection: Selection,
    at_once: int,
    resume: str | None,
    created_by: str | None,
    as_json: bool,
) -> Exit:
    """Create, or delete, every group of FILE, each on all hosts or none."""
    from lockstep.producer.many import apply as run_all
    from lockstep.producer.many import parse_run, parse_wishes

    try:
        wishes = parse_wishes(file.read())
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file.name} is no UTF-8 text: {error.reason}") from error
    run = new_id() if resume is None else parse_run(resume)
    client = session.client(created_by)
    hosts = client.select(selection.names(client))
    session.going_on = f"what was started goes on; the same command with --resume {run} does the rest"
    note(f"run {run}: {counted(len(wishes), 'group')}")
    states: Counter[str] = Counter()
    with (
        _progress(len(wishes), quiet=as_json) as advance,
        closing(run_all(client, run, wishes, hosts, at_once)) as each,
    ):
        for came in each:
            states[came.state or "not started"] += 1
            _tell(came, as_json)
            advance()
    counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items()))
    session.going_on = f"run {run}: {counts}"
    if not as_json:
        answer(session.going_on)
    return Exit.OK if set(states) == {State.COMMITTED} else Exit.FOUND


def _tell(came: Came, as_json: bool) -> None:
    document = {
        "group": came.wish.group,
        "action": came.wish.action,
        "id": came.operation,
        "state": came.state,
        "committed": came.state is State.COMMITTED,
        "reason": came.reason,
    }
    if as_json:
        answer(json.dumps(document))
    elif came.state is not State.COMMITTED:
        state = came.state or "not started"
        answer(printable(f"{came.wish.action} {came.wish.group}: {state}, {came.reason} ({came.operation})"))


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("groups", total=total)
        yield lambda: bar.advance(task)
