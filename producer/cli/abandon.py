"""abandon: give up on a host, in one operation or in all that wait for it."""

from __future__ import annotations

import click

from lockstep.producer.cli.documents import read_document
from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import as_option, debug_option, json_option, pass_session
from lockstep.producer.cli.output import answer, answer_json
from lockstep.producer.cli.session import Session
from lockstep.producer.wording import named

EXAMPLES = """\b
Examples:
  lockstep list --stuck
  lockstep abandon 7f3c81d2aa01 node3 --reason "scrapped, ticket 4711"
  lockstep abandon node3 --reason "scrapped, ticket 4711"

Exit codes: 0 abandoned, 2 no such operation or host, 8 refused, for nothing is pending there."""


@click.command(epilog=EXAMPLES, options_metavar="[OPTIONS]")
@click.argument("names", nargs=-1, required=True, metavar="[OPERATION] HOST")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the record.")
@as_option
@json_option
@debug_option
@pass_session
def abandon(
    session: Session, names: tuple[str, ...], reason: str, created_by: str | None, as_json: bool
) -> Exit:
    """Give up on HOST in OPERATION, or in every operation that waits for it.

    It keeps what it holds, and the operations can end without it.
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
