"""lockstep plan: what create or delete would do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import (
    Selection,
    debug_option,
    json_option,
    pass_session,
    selection_options,
)
from lockstep.producer.cli.output import answer, answer_json, answer_table, printable
from lockstep.producer.cli.session import Session
from lockstep.producer.wording import counted, named
from lockstep.worker.operation.model import Action

if TYPE_CHECKING:
    from lockstep.producer.planning import HostPlan, Plan

HEADER = ("HOST", "HOLDS NOW", "CALL", "NOTE")
NOTHING = "-"
EXAMPLES = """\b
Examples:
  lockstep plan create team-a
  lockstep plan delete team-a --where zone=eu && lockstep delete team-a --where zone=eu

Exit codes: 0 nothing stands in the way, 1 it would fail as things are now."""


@click.command(epilog=EXAMPLES)
@click.argument("action", type=click.Choice([each.value for each in Action]), metavar="create|delete")
@click.argument("group")
@selection_options
@json_option
@debug_option
@pass_session
def plan(session: Session, action: str, group: str, selection: Selection, as_json: bool) -> Exit:
    """Ask every host what it holds, and show what would be sent. Writes nothing."""
    cluster = session.client()
    made = cluster.plan(Action(action), group, selection.names(cluster))
    if as_json:
        answer_json(_document(made))
    else:
        answer_table(HEADER, map(_row, made.hosts))
        answer("")
        for line in _summary(made):
            answer(printable(line))
    return Exit.FOUND if made.problems else Exit.OK


def _row(host: HostPlan) -> tuple[str, ...]:
    note = host.problem or (NOTHING if host.call else "as asked already")
    return (host.host, host.holds or NOTHING, host.call or NOTHING, note)


def _summary(made: Plan) -> list[str]:
    group = f'{made.action} group "{made.group}"'
    total, as_asked = len(made.hosts), len(made.as_asked)
    lines = []
    if made.owner is not None:
        lines.append(f"operation {made.owner} holds the group: this one would wait for it")
    if 0 < as_asked < total and not made.problems:
        lines.append(f"the hosts differ now: {named(made.as_asked)} would be left alone, by a rollback too")
    if made.paused:
        ends = f"`lockstep resume {made.paused[0]}` ends the pause"
        lines.append(f"would be refused, for {named(made.paused)} is paused: {group}; {ends}")
    elif made.problems:
        silent = named([each.host for each in made.problems])
        lines.append(f"would fail on {silent}, and be rolled back: {group} on {counted(total)}")
    elif as_asked == total:
        lines.append(f"nothing to do to {group}: {counted(total)} as asked already")
    else:
        lines.append(f"would {group} on {total - as_asked} of {counted(total)}")
    return lines


def _document(made: Plan) -> dict[str, object]:
    return {
        "group": made.group,
        "action": made.action,
        "would_succeed": not made.problems,
        "held_by": made.owner,
        "paused": made.paused,
        "hosts": [asdict(each) for each in made.hosts],
    }
