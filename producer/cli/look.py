"""Commands that only read: status, list, exists."""

from __future__ import annotations

from dataclasses import asdict

import click

from lockstep.producer.cli.documents import full_document, operation_document
from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import debug_option, json_option, pass_session
from lockstep.producer.cli.output import answer, answer_json, answer_table, note, paint, printable
from lockstep.producer.cli.rows import HOST_HEADER, LIST_HEADER, facts_of, host_row, list_row
from lockstep.producer.cli.session import Session
from lockstep.producer.results import host_result
from lockstep.worker.operation.errors import HostUnavailable

STATUS_EXAMPLES = """\b
Examples:
  lockstep status 7f3c81d2aa01
  lockstep status 7f3c81d2aa01 --json | jq -r .state"""
LIST_EXAMPLES = """\b
Examples:
  lockstep list --limit 5
  lockstep list --stuck || echo "somebody is needed"
  lockstep list --json | jq -r '.operations[] | select(.ended | not) | .id'

Exit codes: 0, or 1 with --stuck if an operation needs a person."""
EXISTS_EXAMPLES = """\b
Examples:
  lockstep exists node1 team-a && echo there

Exit codes: 0 yes, 1 no, 4 the host gave no usable answer."""


@click.command(epilog=STATUS_EXAMPLES)
@click.argument("operation_id", metavar="OPERATION")
@json_option
@debug_option
@pass_session
def status(session: Session, operation_id: str, as_json: bool) -> Exit:
    """Show OPERATION and what became of each host."""
    handle = session.client().find(operation_id)
    operation, steps = handle.status(), handle.steps()
    if as_json:
        answer_json(full_document(operation, steps))
        return Exit.OK
    for name, value in facts_of(operation, session.client().now()):
        answer(f"{name:<10} {paint(printable(value))}")
    answer("")
    answer_table(HOST_HEADER, (host_row(host_result(operation, step)) for step in steps))
    return Exit.OK


@click.command("list", epilog=LIST_EXAMPLES)
@click.option("--limit", type=int, default=20, show_default=True, metavar="N", help="At most so many.")
@click.option("--stuck", "stuck_only", is_flag=True, help="Only what needs a person, and what to type.")
@json_option
@debug_option
@pass_session
def list_(session: Session, limit: int, stuck_only: bool, as_json: bool) -> Exit:
    """List operations, newest first."""
    if stuck_only:
        return _list_stuck(session, as_json)
    operations = session.client().operations(limit)
    session.client().look_for_damage({each.group for each in operations})
    if as_json:
        document = {"operations": [operation_document(each) for each in operations]}
        answer_json({**document, "damaged": [asdict(each) for each in session.damage]})
    elif operations:
        now = session.client().now()
        answer_table(LIST_HEADER, (list_row(each, now) for each in operations))
    else:
        answer("no operations")
    return Exit.OK


def _list_stuck(session: Session, as_json: bool) -> Exit:
    found = session.client().stuck()
    failing = session.client().failing()
    session.client().look_for_damage({each.group for each, _ in found})
    for work, reason in failing.items():
        note(f"lockstep: the {work} runs and is not done: {printable(reason)}; `lockstep doctor` tells more")
    if as_json:
        answer_json(
            {
                "operations": [{**operation_document(each), "stuck": asdict(why)} for each, why in found],
                "failing": dict(failing),
                "damaged": [asdict(each) for each in session.damage],
            }
        )
    elif not found and not session.damage:
        answer("no operation needs you")
    for operation, why in () if as_json else found:
        answer(printable(f"{operation.id}  {operation.action} {operation.group}: {why.why}"))
        for line in why.advice:
            answer(f"  {printable(line)}")
    return Exit.FOUND if found or failing or session.damage else Exit.OK


@click.command(epilog=EXISTS_EXAMPLES)
@click.argument("host")
@click.argument("group")
@json_option
@debug_option
@pass_session
def exists(session: Session, host: str, group: str, as_json: bool) -> Exit:
    """Ask HOST itself whether it holds GROUP."""
    try:
        found = session.client().group_exists(host, group)
    except HostUnavailable as error:
        if as_json:
            answer_json({"host": host, "group": group, "exists": None, "reason": str(error)})
        raise
    if as_json:
        answer_json({"host": host, "group": group, "exists": found, "reason": None})
    else:
        answer(f'group "{group}" {"exists" if found else "does not exist"} on {host}')
    return Exit.OK if found else Exit.ROLLED_BACK
