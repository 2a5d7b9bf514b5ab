"""create, set, delete, cancel, abandon and resolve: what changes things, and operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lockstep.producer.cli.exits import OF_STATE, Exit, Session
from lockstep.producer.cli.options import (
    FieldOptions,
    Selection,
    as_option,
    command,
    field_options,
    option,
    wait_options,
)
from lockstep.producer.cli.output import answer, answer_json, note, printable, read_document
from lockstep.producer.cli.text import sentence, showing
from lockstep.worker.operation.errors import RecordGone, WaitTimeout
from lockstep.worker.operation.names import named, parse_timeout

if TYPE_CHECKING:
    from lockstep.producer.client.operation import Operation


@command()
@click.argument("names", nargs=-1, required=True, metavar="[OPERATION] HOST")
@option("--reason TEXT", "Why; kept in the record.", required=True)
@as_option
def abandon(session: Session, names: tuple[str, ...], reason: str) -> Exit:
    """Give up on HOST in OPERATION, or in every operation that waits for it.

    It keeps what it holds, and the operations can end without it.

    Examples:
      lockstep list --stuck
      lockstep abandon 7f3c81d2aa01 node3 --reason "scrapped, ticket 4711"
      lockstep abandon node3 --reason "scrapped, ticket 4711"

    Exit codes: 0 abandoned, 2 no such operation or host, 8 refused, for nothing is pending there.
    """
    cluster = session.client()
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
    if session.as_json:
        documents = [read_document(operation) for operation in given_up]
        answer_json(documents[0] if len(names) > 1 else {"operations": documents})
        return Exit.OK
    for operation in given_up:
        answer(
            f'abandoned {host} in operation {operation.id}: {operation.verb} "{operation.group}"; '
            f"`lockstep exists {host} {operation.group}` tells what it holds"
        )
    return Exit.OK


ACCEPT_LOSS = option("--accept-loss", "Do it although an undo would not bring everything back.")


@command()
@click.argument("name", metavar="GROUP|KIND/ID")
@field_options
@wait_options
def create(session: Session, name: str, fields: FieldOptions, **wanted: Any) -> Exit:
    """Create GROUP, or a thing of a KIND with its content, on every host, or on none.

    A host on which it stands with other content makes the operation roll back: `lockstep set` changes it.

    Examples:
      lockstep create team-a
      lockstep create team-a --hosts node1,node2 --timeout 30
      lockstep create team-a --where zone=eu --where role!=db --except node7
      id=$(lockstep create team-a --no-wait)
      lockstep create team-a --id ticket-4711 --json
      lockstep create team-a --waves 1,10%,100% --bake 60s
      lockstep create rabbitmq-vhost/team-a --set description="Team A" --set tags=a,b

    Exit codes: 0 created, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
    8 a host is paused.
    """
    return change(session, "create", name, fields, **wanted)


@command("set")
@click.argument("name", metavar="KIND/ID")
@option("--create", "Make it where it is absent.", "upsert")
@ACCEPT_LOSS
@field_options
@wait_options
def set_(session: Session, name: str, fields: FieldOptions, **wanted: Any) -> Exit:
    """Give a thing one content on every host, or leave every host with its own.

    When any host fails, every host is brought back to what it held itself, which a look proves. A field that
    is not given takes its kind's default, and stays as each host shows it where there is none.

    Examples:
      lockstep set rabbitmq-vhost/team-a --set description="Team A"
      lockstep set powerdns-record/example.org./www.example.org./A -f record.yaml --create

    Exit codes: 0 set, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
    8 a host is paused.
    """
    return change(session, "set", name, fields, **wanted)


@command()
@click.argument("name", metavar="GROUP|KIND/ID")
@ACCEPT_LOSS
@wait_options
def delete(session: Session, name: str, accept_loss: bool, **wanted: Any) -> Exit:
    """Delete GROUP, or a thing of a KIND, from every host, or from none.

    Examples:
      lockstep delete team-a
      lockstep delete team-a --deadline 60 --as alice
      lockstep delete rabbitmq-vhost/team-a --accept-loss

    Exit codes: 0 deleted, 1 rolled back, 3 some hosts still to be restored, 4 gave up waiting, 6 busy,
    8 a host is paused.
    """
    return change(session, "delete", name, FieldOptions(accept_loss=accept_loss), **wanted)


@command()
@click.argument("operation_id", metavar="OPERATION")
@click.argument("host")
@option("--restore", "Write what was there before over it.", "choice", flag_value="restore")
@option("--leave", "Leave it; the operation ends without it.", "choice", flag_value="leave")
@as_option
def resolve(session: Session, operation_id: str, host: str, choice: str | None) -> Exit:
    """Decide about a HOST that shows what somebody else has written since.

    A rollback of OPERATION leaves such a host alone until a person says what is to be. --restore holds for
    what the host shows now, and for nothing that is written there later.

    Examples:
      lockstep show 7f3c81d2aa01
      lockstep resolve 7f3c81d2aa01 node3 --restore
      lockstep resolve 7f3c81d2aa01 node3 --leave

    Exit codes: 0 resolved, 2 no such operation or host, 8 refused, for nothing is pending there.
    """
    if choice is None:
        raise click.UsageError("say --restore or --leave")
    client = session.client()
    operation = client.resolve(client.find(operation_id).id, host, restore=choice == "restore")
    what = "is restored to what it held before" if choice == "restore" else "is left as it is"
    text = f'{host} {what} in operation {operation.id}: "{operation.group}"'
    return session.done(text, lambda: read_document(operation))


@command()
@click.argument("operation_id", metavar="OPERATION")
@option("--reason TEXT", "Why; kept in the record.")
@as_option
def cancel(session: Session, operation_id: str, reason: str | None) -> Exit:
    """Roll back OPERATION unless it is decided already.

    Examples:
      lockstep cancel 7f3c81d2aa01 --reason "wrong group"

    Exit codes: 0 cancelled, 2 no such operation, 8 refused, for it was decided before.
    """
    operation = session.client().find(operation_id)
    operation.cancel(reason)
    text = f'cancelled operation {operation.id}: {operation.verb} "{operation.group}" is rolled back'
    return session.done(text, lambda: read_document(operation))


@command()
@click.argument("operation_id", metavar="OPERATION")
@option("--reason TEXT", "Why; kept in the record.", required=True)
@as_option
def hold(session: Session, operation_id: str, reason: str) -> Exit:
    """Keep OPERATION from going further than the wave at work.

    The wave at work runs on to its end; `lockstep cancel` is the brake. A hold that nobody promotes ends
    after 7 days in a rollback.

    Examples:
      lockstep hold 7f3c81d2aa01 --reason "node1 is slow, let me look"

    Exit codes: 0 held, 2 no such operation, 8 refused, for it is decided or has no waves.
    """
    operation = session.client().find(operation_id)
    held = operation.hold(reason)
    text = f"held operation {operation.id} after wave {held.wave} ({held.stage}), until somebody promotes it"
    return session.done(text, lambda: read_document(operation))


@command()
@click.argument("operation_id", metavar="OPERATION")
@option("--reason TEXT", "Why; kept in the record.")
@option("--hold N", "That hold alone, no newer one.", "number", type=click.IntRange(1))
@as_option
def promote(session: Session, operation_id: str, reason: str | None, number: int | None) -> Exit:
    """Release the hold on OPERATION, so that it goes on.

    A bake or a look at the hosts that is due is not left out.

    Examples:
      lockstep promote 7f3c81d2aa01
      lockstep promote 7f3c81d2aa01 --reason "node1 looks well"

    Exit codes: 0 released, 2 no such operation, 8 refused, for nobody holds it or it is decided.
    """
    operation = session.client().find(operation_id)
    released = operation.promote(reason, number)
    by = f", held by {released.who}: {released.why}" if released else " already"
    text = f"released operation {operation.id}{by}"
    return session.done(text, lambda: read_document(operation))


def change(
    session: Session,
    verb: str,
    name: str,
    fields: FieldOptions,
    selection: Selection,
    *,
    wait: bool = True,
    timeout: float | None = None,
    **asked: Any,
) -> Exit:
    """Start an operation as asked, wait for it, and tell what came of it."""
    parse_timeout(timeout)
    session.going_on = "`lockstep list` shows whether the operation was accepted"
    cluster = session.client()
    hosts = selection.names(cluster)
    accepted: list[Operation] = []

    def keep(operation: Operation) -> None:
        accepted.append(operation)
        session.going_on = f"operation {operation.id} goes on; `lockstep status {operation.id}` shows it"

    try:
        operation = cluster.change(
            *(verb, name, hosts, fields.given(cluster, name)),
            secrets=fields.hidden(),
            upsert=fields.upsert,
            accept_loss=fields.accept_loss,
            on_accepted=keep,
            **asked,
        )
        if not wait:

            def tell_id() -> None:
                answer(operation.id)
                before = " before" if operation.existing else ""
                note(f"accepted{before}: {verb} {name} (operation {operation.id})")

            return session.show(lambda: read_document(operation), tell_id)
        with showing(quiet=session.as_json) as progress:
            result = operation.wait(timeout, progress)
    except (WaitTimeout, RecordGone, KeyboardInterrupt):
        if session.as_json and accepted:
            answer_json(read_document(accepted[0]))
        raise
    session.going_on = printable(sentence(result, verb))
    tell = answer if result.committed else note
    session.show(lambda: read_document(operation), lambda: tell(session.going_on))
    return OF_STATE[result.state]
