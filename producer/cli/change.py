"""Commands that change something: create, delete, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.documents import read_document
from lockstep.producer.cli.exits import OF_STATE, Exit
from lockstep.producer.cli.options import (
    Wanted,
    as_option,
    debug_option,
    json_option,
    pass_session,
    wait_options,
)
from lockstep.producer.cli.output import answer, answer_json, note, printable
from lockstep.producer.cli.progress import showing
from lockstep.producer.cli.sentences import sentence
from lockstep.producer.cli.session import Session
from lockstep.producer.naming import parse_timeout
from lockstep.worker.operation.errors import RecordGone, WaitTimeout
from lockstep.worker.operation.model import Action

if TYPE_CHECKING:
    from lockstep.producer.handle import Operation
    from lockstep.producer.results import Result

CREATE_EXAMPLES = """\b
Examples:
  lockstep create team-a
  lockstep create team-a --hosts node1,node2 --timeout 30
  lockstep create team-a --where zone=eu --where role!=db --except node7
  id=$(lockstep create team-a --no-wait)
  lockstep create team-a --id ticket-4711 --json

Exit codes: 0 created, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
8 a host is paused."""
DELETE_EXAMPLES = """\b
Examples:
  lockstep delete team-a
  lockstep delete team-a --deadline 60 --as alice

Exit codes: 0 deleted, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
8 a host is paused."""
CANCEL_EXAMPLES = """\b
Examples:
  lockstep cancel 7f3c81d2aa01 --reason "wrong group"

Exit codes: 0 cancelled, 2 no such operation, 8 refused, for it was decided before."""


@click.command(epilog=CREATE_EXAMPLES)
@click.argument("group")
@pass_session
@wait_options
def create(session: Session, group: str, wanted: Wanted) -> Exit:
    """Create GROUP on every host, or on none."""
    return change(session, Action.CREATE, group, wanted)


@click.command(epilog=DELETE_EXAMPLES)
@click.argument("group")
@pass_session
@wait_options
def delete(session: Session, group: str, wanted: Wanted) -> Exit:
    """Delete GROUP from every host, or from none."""
    return change(session, Action.DELETE, group, wanted)


@click.command(epilog=CANCEL_EXAMPLES)
@click.argument("operation_id", metavar="OPERATION")
@click.option("--reason", metavar="TEXT", help="Why; kept in the record.")
@as_option
@json_option
@debug_option
@pass_session
def cancel(
    session: Session, operation_id: str, reason: str | None, created_by: str | None, as_json: bool
) -> Exit:
    """Roll back OPERATION unless it is decided already."""
    operation = session.client(created_by).find(operation_id)
    operation.cancel(reason)
    session.going_on = (
        f'cancelled operation {operation.id}: {operation.action} "{operation.group}" is rolled back'
    )
    if as_json:
        answer_json(read_document(operation))
    else:
        answer(session.going_on)
    return Exit.OK


def change(session: Session, action: Action, group: str, wanted: Wanted) -> Exit:
    """Start an operation, wait for it as asked, and tell what came of it."""
    parse_timeout(wanted.timeout)
    session.going_on = "`lockstep list` shows whether the operation was accepted"
    cluster = session.client(wanted.created_by)
    hosts = wanted.selection.names(cluster)
    accepted: list[Operation] = []

    def keep(operation: Operation) -> None:
        accepted.append(operation)
        session.going_on = f"operation {operation.id} goes on; `lockstep status {operation.id}` shows it"

    try:
        operation = cluster._start(
            action,
            group,
            hosts,
            wanted.operation_id,
            wanted.deadline,
            wanted.retries,
            wanted.preflight,
            on_accepted=keep,
        )
        if not wanted.wait:
            return _accepted(operation, wanted)
        with showing(quiet=wanted.as_json) as progress:
            result = operation.wait(wanted.timeout, progress)
    except (WaitTimeout, RecordGone, KeyboardInterrupt):
        if wanted.as_json and accepted:
            answer_json(read_document(accepted[0]))
        raise
    session.going_on = printable(sentence(result, action))
    _tell(operation, result, wanted)
    return OF_STATE[result.state]


def _accepted(operation: Operation, wanted: Wanted) -> Exit:
    if wanted.as_json:
        answer_json(read_document(operation))
    else:
        answer(operation.id)
        before = " before" if operation.existing else ""
        note(f"accepted{before}: {operation.action} {operation.group} (operation {operation.id})")
    return Exit.OK


def _tell(operation: Operation, result: Result, wanted: Wanted) -> None:
    if wanted.as_json:
        answer_json(read_document(operation))
        return
    tell = answer if result.committed else note
    tell(printable(sentence(result, operation.action)))
