"""Commands that only read: status, list, exists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import command, option
from lockstep.producer.cli.output import (
    answer,
    answer_json,
    answer_table,
    document,
    event_document,
    full_document,
    in_colour,
    inventory_document,
    note,
    operation_document,
    paint,
    printable,
)
from lockstep.producer.cli.text import (
    LIST_HEADER,
    TIMELINE_HEADER,
    event_row,
    facts_of,
    hosts_told,
    list_row,
)
from lockstep.producer.operators.history import timeline
from lockstep.worker.operation.errors import HostUnavailable, InvalidInput
from lockstep.worker.operation.model import Action, State, Status, Step
from lockstep.worker.operation.names import alike, parse_moment, subject
from lockstep.worker.operation.names import show as quoted


@command()
@click.argument("operation_id", metavar="OPERATION")
def status(session: Session, operation_id: str) -> Exit:
    """Show OPERATION and what became of each host.

    Examples:
      lockstep status 7f3c81d2aa01
      lockstep status 7f3c81d2aa01 --json | jq -r .state
    """
    handle = session.client().find(operation_id)
    operation, steps = handle.status(), handle.steps()
    return session.show(lambda: full_document(operation, steps), lambda: _tell(session, operation, steps))


def _tell(session: Session, operation: Status, steps: Sequence[Step]) -> None:
    for name, value in facts_of(operation, session.client().now()):
        answer(f"{name:<10} {paint(*in_colour(value))}")
    answer("")
    answer_table(*hosts_told(operation, steps))


@command("list")
@option("--limit N", "At most N operations.", default=20)
@option("--stuck", "Only what needs a person, and what to type.", "stuck_only")
def list_(session: Session, limit: int, stuck_only: bool) -> Exit:
    """List operations, newest first.

    Examples:
      lockstep list --limit 5
      lockstep list --stuck || echo "somebody is needed"
      lockstep list --json | jq -r '.operations[] | select(.ended | not) | .id'

    Exit codes: 0, or 1 with --stuck if an operation needs a person.
    """
    if stuck_only:
        return _list_stuck(session)
    operations = session.client().operations(limit)
    session.client().look_for_damage({each.group for each in operations})
    damaged = [asdict(each) for each in session.damage]
    return _list(session, operations, "no operations", damaged=damaged)


def _list(session: Session, operations: Collection[Status], none: str, **more: object) -> Exit:
    def tell() -> None:
        if not operations:
            answer(none)
            return
        now = session.client().now()
        answer_table(LIST_HEADER, (list_row(each, now) for each in operations))

    return session.show(
        lambda: {"operations": [operation_document(each) for each in operations], **more}, tell
    )


def _list_stuck(session: Session) -> Exit:
    found, gone = session.client().stuck(), session.client().gone()
    failing = session.client().failing()
    session.client().look_for_damage({each.group for each, _ in found})
    for work, reason in failing.items():
        note(f"lockstep: the {work} runs and is not done: {printable(reason)}; `lockstep doctor` tells more")
    lost = [{**document(each, "id group action at"), "stuck": asdict(why)} for each, why in gone]
    code = Exit.FOUND if found or gone or failing or session.damage else Exit.OK
    if session.as_json:
        answer_json(
            {
                "operations": [{**operation_document(each), "stuck": asdict(why)} for each, why in found],
                "gone": lost,
                "failing": dict(failing),
                "damaged": [asdict(each) for each in session.damage],
            }
        )
        return code
    needy = [(f"{each.id}  {each.verb} {each.group}", why) for each, why in found]
    needy += ((f"{each.id}  {each.action or 'on'} {each.group}", why) for each, why in gone)
    if not needy and not session.damage:
        answer("no operation needs you")
    for operation, why in needy:
        answer(printable(f"{operation}: {why.why}"))
        for line in why.advice:
            answer(f"  {printable(line)}")
    return code


@command()
@click.argument("host")
@click.argument("group")
def exists(session: Session, host: str, group: str) -> Exit:
    """Ask HOST itself whether it holds GROUP, or a thing KIND/ID.

    Examples:
      lockstep exists node1 team-a && echo there
      lockstep exists node1 rabbitmq-vhost/team-a

    Exit codes: 0 yes, 1 no, 4 the host gave no usable answer.
    """
    try:
        found = session.client().exists(host, group)
    except HostUnavailable as error:
        if session.as_json:
            answer_json({"host": host, "group": group, "exists": None, "reason": str(error)})
        raise
    text = f"{subject(group)} {'exists' if found else 'does not exist'} on {host}"
    session.done(text, lambda: {"host": host, "group": group, "exists": found, "reason": None})
    return Exit.OK if found else Exit.ROLLED_BACK


@command()
@click.argument("operation_id", metavar="OPERATION")
def show(session: Session, operation_id: str) -> Exit:
    """Show OPERATION with every attempt on every host: what was sent, what came back, what it meant.

    Of a thing it also shows which fields were to change on each host, and what somebody else made of them.

    Examples:
      lockstep show 7f3c81d2aa01
      lockstep show 7f3c81d2aa01 --json | jq '.timeline[] | select(.host == "node3")'
    """
    handle = session.client().find(operation_id)
    operation, steps = handle.status(), handle.steps()
    events = timeline(operation, steps, session.client().methods(handle.id))
    differences = session.client().differences(handle.id)
    here, held = session.client().inventories()
    if session.as_json:
        document = full_document(operation, steps)
        timed = [event_document(each) for each in events]
        told = [inventory_document(each, held[each]) for each in held]
        told_apart = {"differences": differences} if differences else {}
        answer_json({**document, "timeline": timed, "inventories": told, **told_apart})
        return Exit.OK
    _tell(session, operation, steps)
    answer("")
    answer_table(TIMELINE_HEADER, (event_row(operation, each) for each in events))
    for lines, hosts in alike(differences.items()):
        answer("")
        for line in (f"{', '.join(hosts)}:", *(f"    {line}" for line in lines or ("as asked",))):
            answer(printable(line))
    if held:
        from lockstep.producer.doctor.checks import inventories

        answer("")
        answer(f"inventories  {printable(inventories(here, held, session.client().now()))}")
    return Exit.OK


@command()
@option("--group PATTERN", "Only groups like this; * stands for any text.")
@option("--by PATTERN", "Only what they asked for; * stands for any text.")
@option("--action", "Only this action.", type=click.Choice([each.value for each in Action]))
@option(
    "--state",
    "Only in this state; repeat it for several.",
    "states",
    type=click.Choice([each.value for each in State]),
    multiple=True,
)
@option("--since TIME", "Only what was accepted then or later.")
@option("--until TIME", "Only what was accepted before.")
@option("--limit N", "At most N operations.", default=100)
def history(session: Session, *, since: str | None, until: str | None, **wanted: Any) -> Exit:
    """Search all recorded operations, newest first.

    Examples:
      lockstep history --since 2h --state rolled_back
      lockstep history --group 'team-*' --by 'alice@*' --since 2026-01-31 --until 2026-02-01

    Times are 30m, 2h, 7d (ago), or dates with or without a time, without an offset in your time zone.
    """
    client = session.client()
    now = datetime.fromtimestamp(client.now() / 1000, UTC)  # every time in the record is Redis'
    for name, text in (("since", since), ("until", until)):
        wanted[name] = None if text is None else parse_moment(f"--{name}", text, now)
    return _list(session, client.history(**wanted), "no operation matches")


@command()
@click.argument("operation_id", metavar="OPERATION")
@option("--html FILE", "Where to write the page.", "file", required=True)
def report(session: Session, operation_id: str, file: str) -> Exit:
    """Write OPERATION with its timeline as one HTML page that needs nothing else.

    Examples:
      lockstep report 7f3c81d2aa01 --html report.html
    """
    from lockstep.producer.cli.report import page

    client = session.client()
    handle = client.find(operation_id)
    told = client.differences(handle.id), client.methods(handle.id)
    text = page(handle.status(), handle.steps(), client.now(), *told)
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInput(f"file {quoted(file)} cannot be written: {error.strerror}") from error
    return session.done(f"wrote {file}", lambda: {"id": handle.id, "file": file})
