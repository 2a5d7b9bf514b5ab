"""forget: free the memory of groups that were deleted everywhere long ago."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import debug_option, json_option, pass_session
from lockstep.producer.cli.output import answer, answer_json, answer_table
from lockstep.producer.cli.session import Session
from lockstep.producer.moments import parse_moment
from lockstep.producer.wording import counted
from lockstep.worker.operation.moment import age

SHOWN = 20
"""Groups that are listed; the others are counted."""
EXAMPLES = """\b
Examples:
  lockstep forget --deleted-before 90d         only shows what would go
  lockstep forget --deleted-before 90d --yes

A host that comes back later with one of these groups is not found to differ any more. Workers do the
same by themselves after LOCKSTEP_DELETED_DAYS."""


@click.command(epilog=EXAMPLES)
@click.option("--deleted-before", "text", metavar="WHEN", required=True, help="90d (ago), or 2026-01-31.")
@click.option("--yes", "do_it", is_flag=True, help="Do it; without, it is only shown.")
@json_option
@debug_option
@pass_session
def forget(session: Session, text: str, do_it: bool, as_json: bool) -> Exit:
    """Forget groups that were deleted on every host before WHEN: their entries in Redis go.

    A group is kept while an operation works on it, a late write may still land, or a host differs.
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
