"""create, delete, cancel, abandon and forget: what changes an operation, or what is kept of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import OF_STATE, Exit, Session
from lockstep.producer.cli.options import ChangeOptions, as_option, command, wait_options
from lockstep.producer.cli.view.output import (
    answer,
    answer_json,
    answer_table,
    note,
    printable,
    read_document,
)
from lockstep.producer.cli.view.text import sentence, showing
from lockstep.producer.text import counted, named, parse_moment
from lockstep.worker.operation.errors import RecordGone, WaitTimeout
from lockstep.worker.operation.host import age
from lockstep.worker.operation.model import Action
from lockstep.worker.operation.names import parse_timeout

if TYPE_CHECKING:
    from lockstep.producer.client.operation import Operation


@command()
@click.argument("names", nargs=-1, required=True, metavar="[OPERATION] HOST")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the record.")
@as_option
def abandon(
    session: Session, names: tuple[str, ...], reason: str, created_by: str | None, as_json: bool
) -> Exit:
    """Give up on HOST in OPERATION, or in every operation that waits for it.

    It keeps what it holds, and the operations can end without it.

    Examples:
      lockstep list --stuck
      lockstep abandon 7f3c81d2aa01 node3 --reason "scrapped, ticket 4711"
      lockstep abandon node3 --reason "scrapped, ticket 4711"

    Exit codes: 0 abandoned, 2 no such operation or host, 8 refused, for nothing is pending there.
    """
    cluster = session.client(created_by)
    match names:
        case (host,):
            given_up = cluster.abandon(host, reason)
        case (operation_id, host):
            operation = cluster.find(operation_id)
            operation.abandon(host, reason)
            given_up = (operation,)
        case _:
            raise click.UsageError("give HOST, or OPERATION and HOST")
    session.going_on = f"abandoned {host} in {named([operation.id for operation in given_up])}"
    if as_json:
        documents = [read_document(operation) for operation in given_up]
        answer_json(documents[0] if len(names) > 1 else {"operations": documents})
        return Exit.OK
    for operation in given_up:
        answer(
            f'abandoned {host} in operation {operation.id}: {operation.action} "{operation.group}"; '
            f"`lockstep exists {host} {operation.group}` tells what it holds"
        )
    return Exit.OK


SHOWN = 20
"""Groups that are listed; the others are counted."""


@command()
@click.option("--deleted-before", "text", metavar="WHEN", required=True, help="90d (ago), or 2026-01-31.")
@click.option("--yes", "do_it", is_flag=True, help="Do it; without, it is only shown.")
def forget(session: Session, text: str, do_it: bool, as_json: bool) -> Exit:
    """Forget groups that were deleted on every host before WHEN: their entries in Redis go.

    A group is kept while an operation works on it, a late write may still land, or a host differs.

    Examples:
      lockstep forget --deleted-before 90d         only shows what would go
      lockstep forget --deleted-before 90d --yes

    A host that comes back later with one of these groups is not found to differ any more. Workers do the
    same by themselves after LOCKSTEP_DELETED_DAYS.
    """
    client = session.client()
    now = client.now()
    before = parse_moment("--deleted-before", text, datetime.fromtimestamp(now / 1000, UTC))
    found = client.forget_deleted(before, dry_run=not do_it)
    size = sum(bytes_ for _, bytes_ in found)
    what = f"{counted(len(found), 'group')}, {size:,} bytes"
    told = f"forgot {what}" if do_it else f"would forget {what}: nothing was changed, --yes does it"
    session.going_on = told
    if as_json:
        groups = [{**asdict(group), "bytes": bytes_} for group, bytes_ in found]
        answer_json({"forgotten": do_it, "groups": groups, "bytes": size})
        return Exit.OK
    rows = [
        (group.group, str(group.hosts), age(group.at, now), f"{bytes_:,}") for group, bytes_ in found[:SHOWN]
    ]
    if rows:
        answer_table(("GROUP", "HOSTS", "DELETED", "BYTES"), rows)
    if len(found) > SHOWN:
        answer(f"and {counted(len(found) - SHOWN, 'group')} more")
    answer(told)
    return Exit.OK


@command()
@click.argument("group")
@wait_options
def create(session: Session, group: str, wanted: ChangeOptions) -> Exit:
    """Create GROUP on every host, or on none.

    Examples:
      lockstep create team-a
      lockstep create team-a --hosts node1,node2 --timeout 30
      lockstep create team-a --where zone=eu --where role!=db --except node7
      id=$(lockstep create team-a --no-wait)
      lockstep create team-a --id ticket-4711 --json
      lockstep create team-a --waves 1,10%,100% --bake 60s

    Exit codes: 0 created, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
    8 a host is paused.
    """
    return change(session, Action.CREATE, group, wanted)


@command()
@click.argument("group")
@wait_options
def delete(session: Session, group: str, wanted: ChangeOptions) -> Exit:
    """Delete GROUP from every host, or from none.

    Examples:
      lockstep delete team-a
      lockstep delete team-a --deadline 60 --as alice

    Exit codes: 0 deleted, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
    8 a host is paused.
    """
    return change(session, Action.DELETE, group, wanted)


@command()
@click.argument("operation_id", metavar="OPERATION")
@click.option("--reason", metavar="TEXT", help="Why; kept in the record.")
@as_option
def cancel(
    session: Session, operation_id: str, reason: str | None, created_by: str | None, as_json: bool
) -> Exit:
    """Roll back OPERATION unless it is decided already.

    Examples:
      lockstep cancel 7f3c81d2aa01 --reason "wrong group"

    Exit codes: 0 cancelled, 2 no such operation, 8 refused, for it was decided before.
    """
    operation = session.client(created_by).find(operation_id)
    operation.cancel(reason)
    text = f'cancelled operation {operation.id}: {operation.action} "{operation.group}" is rolled back'
    return session.done(text, as_json, lambda: read_document(operation))


@command()
@click.argument("operation_id", metavar="OPERATION")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the record.")
@as_option
def hold(session: Session, operation_id: str, reason: str, created_by: str | None, as_json: bool) -> Exit:
    """Keep OPERATION from going further than the wave at work.

    The wave at work runs on to its end; `lockstep cancel` is the brake. A hold that nobody promotes ends
    after 7 days in a rollback.

    Examples:
      lockstep hold 7f3c81d2aa01 --reason "node1 is slow, let me look"

    Exit codes: 0 held, 2 no such operation, 8 refused, for it is decided or has no waves.
    """
    operation = session.client(created_by).find(operation_id)
    held = operation.hold(reason)
    text = f"held operation {operation.id}: wave {held.wave}, {held.stage}, runs on to its end"
    return session.done(text, as_json, lambda: read_document(operation))


@command()
@click.argument("operation_id", metavar="OPERATION")
@as_option
def promote(session: Session, operation_id: str, created_by: str | None, as_json: bool) -> Exit:
    """Release the hold on OPERATION, so that it goes on.

    A bake or a look at the hosts that is due is not left out.

    Examples:
      lockstep promote 7f3c81d2aa01

    Exit codes: 0 released, 2 no such operation, 8 refused, for nobody holds it or it is decided.
    """
    operation = session.client(created_by).find(operation_id)
    released = operation.promote()
    text = f"released operation {operation.id}, held by {released.who}: {released.why}"
    return session.done(text, as_json, lambda: read_document(operation))


def change(session: Session, action: Action, group: str, wanted: ChangeOptions) -> Exit:
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
            pace=wanted.pace,
        )
        if not wanted.wait and wanted.as_json:
            answer_json(read_document(operation))
            return Exit.OK
        if not wanted.wait:
            answer(operation.id)
            before = " before" if operation.existing else ""
            note(f"accepted{before}: {action} {group} (operation {operation.id})")
            return Exit.OK
        with showing(quiet=wanted.as_json) as progress:
            result = operation.wait(wanted.timeout, progress)
    except (WaitTimeout, RecordGone, KeyboardInterrupt):
        if wanted.as_json and accepted:
            answer_json(read_document(accepted[0]))
        raise
    session.going_on = printable(sentence(result, action))
    if wanted.as_json:
        answer_json(read_document(operation))
    else:
        (answer if result.committed else note)(session.going_on)
    return OF_STATE[result.state]
