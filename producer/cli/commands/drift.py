"""Commands about hosts that are not as the last operations left them: drift, repair, sync."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.commands.change import ACCEPT_LOSS, change
from lockstep.producer.cli.commands.things import differing, documents, repair_thing, tell_drift
from lockstep.producer.cli.exits import OF_STATE, Exit, Session
from lockstep.producer.cli.options import (
    ChangeOptions,
    FieldOptions,
    Selection,
    as_option,
    command,
    selection_options,
)
from lockstep.producer.cli.view.output import (
    answer,
    answer_json,
    answer_table,
    note,
    printable,
)
from lockstep.producer.cli.view.text import sentence
from lockstep.producer.text import counted, named, parse_moment
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import age
from lockstep.worker.operation.model import Action, Presence, State

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient
    from lockstep.producer.operators.drift import GroupDrift, SyncItem
    from lockstep.worker.operation.drift import Drift
from lockstep.worker.operation.waves import Pace


@command()
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
def drift(session: Session, groups: tuple[str, ...], as_json: bool) -> Exit:
    """Ask the hosts now, and show which differ from what the last operation left there.

    Give a group's id, KIND/ID of a thing, or the id of an operation on one. Of things it shows the fields
    that differ, host by host: what was left with -, what is there now with +.

    Examples:
      lockstep drift
      lockstep drift rabbitmq-vhost/team-a
      lockstep drift team-a team-b --json
      lockstep drift 7f3c81d2aa01

    Exit codes: 0 every host that was asked is as the last operations left it, 1 some are not, or the hosts of
    a group without a record differ from one another.
    """
    client = session.client()
    meant = [each if "/" in each else client.group_of(each) for each in groups]
    for text, group in zip(groups, meant, strict=True):
        if text != group:
            note(f"{text} is an operation on {group}")
    things = [each for each in meant if "/" in each] if groups else client.things()
    found = {thing: client.thing_drift(thing) for thing in things}
    if groups and len(things) == len(groups):
        return tell_drift(found, as_json)
    looked = list(client.drift([each for each in meant if "/" not in each] or None))
    drifted = [each for look in looked for each in look.drifts]
    apart = [look for look in looked if look.apart]
    if as_json:
        rows = [_drift_row(look, n) for look in looked for n in range(len(look.drifts))]
        unmeasured = [row for look in looked for row in _held(look)]
        uncovered = [{"group": look.group, "host": host} for look in looked for host in look.uncovered]
        rest = {"things": documents(found)} if found else {}
        answer_json({"drift": rows, "unmeasured": unmeasured, "uncovered": uncovered, **rest})
    else:
        _tell(looked, drifted, apart)
        if found:
            tell_drift(found, as_json)
    for doubt, of in _doubts(looked).items():
        note(f"{named(of)}: {doubt}")
    for host, of in _uncovered(looked).items():
        remedy = f"`lockstep sync {host}` brings it up to date"
        note(f"{host} was never covered by an operation on {named(of)}: {remedy}")
    return Exit.FOUND if drifted or apart or differing(found) else Exit.OK


def _tell(looked: list[GroupDrift], drifted: list[Drift], apart: list[GroupDrift]) -> None:
    measured = sum(not look.unmeasured and look.owner is None and not look.overtaken for look in looked)
    if drifted:
        rows = [
            (each.group, each.host, each.end.presence, each.found, each.end.operation) for each in drifted
        ]
        answer_table(("GROUP", "HOST", "SHOULD BE", "IS", "BY OPERATION"), rows)
    elif measured or not any(look.unmeasured for look in looked):
        answer(f"no drift in {counted(measured, 'group')}: all is as the last operations left it")
    if apart:
        answer_table(("GROUP", "HOST", "IS"), [tuple(row.values()) for look in apart for row in _held(look)])
        answer("")
        answer("no operation that has ended says which of these is right")
    if drifted or apart:
        answer("")
        answer("`lockstep repair GROUP --to present|absent` brings a group back, on all hosts or none")


def _held(look: GroupDrift) -> list[dict[str, str]]:
    return [{"group": look.group, "host": host, "found": found} for host, found in look.unmeasured.items()]


def _drift_row(look: GroupDrift, number: int) -> dict[str, object]:
    each = look.drifts[number]
    return {
        "group": each.group,
        "host": each.host,
        "expected": each.end.presence,
        "found": each.found,
        "operation": each.end.operation,
    }


def _uncovered(looked: Iterable[GroupDrift]) -> dict[str, list[str]]:
    """Hosts that no last end covers, each with the groups that others hold."""
    found: dict[str, list[str]] = {}
    for look in looked:
        for host in look.uncovered:
            found.setdefault(host, []).append(look.group)
    return found


def _doubts(looked: Iterable[GroupDrift]) -> dict[str, list[str]]:
    """What could not be compared, each with its groups."""
    found: dict[str, list[str]] = {}
    for look in looked:
        if look.owner is not None:
            found.setdefault(f"operation {look.owner} is at work; ask again when it has ended", []).append(
                look.group
            )
        if look.overtaken:
            found.setdefault("operations ended while it was compared; ask again", []).append(look.group)
        if look.unmeasured and not look.apart:
            held = next(iter(look.unmeasured.values()))
            doubt = f"no operation on it is recorded; {held} on {named(list(look.unmeasured))}"
            found.setdefault(doubt, []).append(look.group)
        if look.silent:
            found.setdefault(f"no usable answer from {named(look.silent)}", []).append(look.group)
        if look.strangers:
            found.setdefault(
                f"not in the inventory, or with another URL: {named(look.strangers)}", []
            ).append(look.group)
    return found


@command()
@click.argument("group", metavar="GROUP|KIND/ID")
@click.option("--to", "presence", type=click.Choice([each.value for each in Presence]), help="Of a group.")
@ACCEPT_LOSS
@selection_options
@as_option
def repair(
    session: Session,
    *,
    group: str,
    presence: str | None,
    accept_loss: bool,
    selection: Selection,
    created_by: str | None,
    as_json: bool,
) -> Exit:
    """Create or delete GROUP everywhere, so that all hosts agree; or bring a thing back to what was left.

    Examples:
      lockstep repair team-a --to present
      lockstep repair team-a --to absent --hosts node3
      lockstep repair rabbitmq-vhost/team-a

    An ordinary operation, all hosts or none; the exit codes are those of create and delete.
    """
    if "/" in group:
        return repair_thing(session, group, accept_loss, created_by, as_json)
    if presence is None:
        raise click.UsageError("Missing option '--to'. Choose from: absent, present")
    wanted = ChangeOptions(selection, True, None, None, None, None, False, created_by, Pace(), as_json)
    return change(session, Action.to(Presence(presence)).value, group, FieldOptions((), None), wanted)


@command()
@click.argument("host")
@click.option("--dry-run", is_flag=True, help="Show the plan only.")
@click.option("--yes", is_flag=True, help="Carry the plan out without asking.")
@as_option
def sync(
    session: Session, *, host: str, dry_run: bool, yes: bool, created_by: str | None, as_json: bool
) -> Exit:
    """Give a new or rebuilt HOST the groups that it should hold.

    Examples:
      lockstep sync node7 --dry-run
      lockstep sync node7 --yes

    Exit codes: 0 the host is up to date, 1 some groups could not be brought to it or nobody can tell.
    """
    cluster = session.client(created_by)
    plan = cluster.sync_plan(host)
    todo = [due for due in plan if due.action is not None]
    unknown = [due for due in plan if not due.certain]
    if as_json and (dry_run or not todo):
        answer_json({"host": host, "plan": [_due_row(due) for due in plan]})
    elif not as_json:
        _show(host, plan, todo, unknown)
    code = Exit.FOUND if unknown else Exit.OK
    if dry_run or not todo:
        return code
    if not yes:
        _ask(host, len(todo))
    return max(code, _carry_out(session, cluster, host, todo, as_json))


def _show(host: str, plan: list[SyncItem], todo: list[SyncItem], unknown: list[SyncItem]) -> None:
    shown = [*todo, *unknown]
    if shown:
        rows = [(due.group, due.holds, due.action or "-", due.note) for due in shown]
        answer_table(("GROUP", "HOLDS NOW", "WOULD", "WHY"), rows)
        answer("")
    answer(f"{host}: as it should be in {len(plan) - len(shown)} of {counted(len(plan), 'group')}")


def _ask(host: str, groups: int) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInput("no terminal to ask on: give --yes to carry the plan out, or --dry-run to see it")
    click.confirm(f"Carry this out for {counted(groups, 'group')} on {host}?", abort=True, err=True)


def _carry_out(
    session: Session, cluster: ClusterClient, host: str, todo: list[SyncItem], as_json: bool
) -> Exit:
    code, rows = Exit.OK, []
    for number, due in enumerate(todo):
        start = cluster.create_group if due.action is Action.CREATE else cluster.delete_group
        operation = start(due.group, [host])
        session.going_on = f"operation {operation.id} goes on; `lockstep sync {host}` goes on from there"
        result = operation.wait()
        session.going_on = f"{number + 1} of {counted(len(todo), 'group')} done, the last by {operation.id}"
        if result.state is not State.COMMITTED:
            code = Exit.FOUND if OF_STATE[result.state] else code
        rows.append({**_due_row(due), "operation": operation.id, "state": result.state})
        if not as_json:
            tell = answer if result.committed else note
            tell(printable(sentence(result, operation.action)))
    if as_json:
        answer_json({"host": host, "plan": rows})
    return code


def _due_row(due: SyncItem) -> dict[str, object]:
    return {"group": due.group, "holds": due.holds, "action": due.action, "note": due.note}


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
