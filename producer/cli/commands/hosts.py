"""Commands about the hosts themselves, and about what is wrong with them or with the installation."""

from __future__ import annotations

import sys
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import OF_STATE, Exit, Session
from lockstep.producer.cli.options import Selection, as_option, command, host_options, option
from lockstep.producer.cli.output import answer, answer_json, answer_table, document, note, printable
from lockstep.producer.cli.text import NOTHING, sentence
from lockstep.producer.doctor import Finding, Level
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import local
from lockstep.worker.operation.model import Action, State
from lockstep.worker.operation.names import counted, named, parse_watch

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient
    from lockstep.producer.operators.hosts import HostStatus
    from lockstep.producer.operators.plan import SyncItem

HEADER = ("HOST", "ANSWERS", "LABELS", "DRIFT", "NOTE")
DUE = "group holds action note"
DOCTOR_WIDTH, PROBE_WIDTH = 18, 26
"""Characters of a finding's subject."""


@command()
@host_options
def hosts(session: Session, *, selection: Selection) -> Exit:
    """Ask every host now, and show its labels, the drift seen on it, and whether it is paused.

    Examples:
      lockstep hosts
      lockstep hosts --where zone=eu --json | jq -r '.hosts[] | select(.answering | not) | .host'

    Exit codes: 0 every host answers, 1 some do not.
    """
    cluster = session.client()
    found = cluster.hosts(selection.names(cluster))
    table = partial(answer_table, HEADER, map(_row, found))
    session.show(lambda: {"hosts": list(map(_document, found))}, table)
    return Exit.OK if all(each.answering for each in found) else Exit.FOUND


@command()
@click.argument("host")
@option("--why TEXT", "Why; told to everyone who is refused.", required=True)
@as_option
def pause(session: Session, *, host: str, why: str) -> Exit:
    """Refuse new operations that need HOST, until it is resumed.

    Examples:
      lockstep pause node3 --why "disk swap, ticket 4711"
      lockstep hosts --hosts node3

    Operations that were accepted before go on; new ones that need the host are refused with the reason.
    """
    cluster = session.client()
    held = cluster.pause(host, why)
    told = f"paused {host}: new operations that need it are refused until `lockstep resume {host}`"
    text = told if held is None else f"{host} is {held.text}; that stays as it is"
    return session.done(
        text, lambda: {"host": host, "paused": True, "already": held and document(held, "by at why")}
    )


@command()
@click.argument("host")
def resume(session: Session, *, host: str) -> Exit:
    """Let operations that need HOST begin again.

    Examples:
      lockstep resume node3 && lockstep sync node3
    """
    ended = session.client().resume(host)
    text = f"{host} is not paused" if ended is None else f"resumed {host}: it was {ended.text}"
    return session.done(
        text, lambda: {"host": host, "paused": False, "ended": ended and document(ended, "by at why")}
    )


@command()
@click.argument("host")
@option("--dry-run", "Show the plan only.")
@option("--yes", "Carry the plan out without asking.")
@as_option
def sync(session: Session, *, host: str, dry_run: bool, yes: bool) -> Exit:
    """Give a new or rebuilt HOST the groups that it should hold.

    Examples:
      lockstep sync node7 --dry-run
      lockstep sync node7 --yes

    Exit codes: 0 the host is up to date, 1 some groups could not be brought to it or nobody can tell.
    """
    cluster = session.client()
    plan = cluster.sync_plan(host)
    todo = [due for due in plan if due.action is not None]
    unknown = [due for due in plan if not due.certain]
    if session.as_json and (dry_run or not todo):
        answer_json({"host": host, "plan": [document(due, DUE) for due in plan]})
    elif not session.as_json:
        if shown := [*todo, *unknown]:
            rows = [(due.group, due.holds, due.action or "-", due.note) for due in shown]
            answer_table(("GROUP", "HOLDS NOW", "WOULD", "WHY"), rows)
            answer("")
        answer(f"{host}: as it should be in {len(plan) - len(shown)} of {counted(len(plan), 'group')}")
    code = Exit.FOUND if unknown else Exit.OK
    if dry_run or not todo:
        return code
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            how = "give --yes to carry the plan out, or --dry-run to see it"
            raise InvalidInput(f"no terminal to ask on: {how}")
        click.confirm(f"Carry this out for {counted(len(todo), 'group')} on {host}?", abort=True, err=True)
    return max(code, _carry_out(session, cluster, host, todo))


def _carry_out(session: Session, cluster: ClusterClient, host: str, todo: list[SyncItem]) -> Exit:
    code, rows = Exit.OK, []
    for number, due in enumerate(todo):
        start = cluster.create_group if due.action is Action.CREATE else cluster.delete_group
        operation = start(due.group, [host])
        session.going_on = f"operation {operation.id} goes on; `lockstep sync {host}` goes on from there"
        result = operation.wait()
        session.going_on = f"{number + 1} of {counted(len(todo), 'group')} done, the last by {operation.id}"
        if result.state is not State.COMMITTED:
            code = Exit.FOUND if OF_STATE[result.state] else code
        rows.append({**document(due, DUE), "operation": operation.id, "state": result.state})
        if not session.as_json:
            tell = answer if result.committed else note
            tell(printable(sentence(result, operation.verb)))
    if session.as_json:
        answer_json({"host": host, "plan": rows})
    return code


def _row(each: HostStatus) -> tuple[str, ...]:
    labels = ",".join(f"{label}={value}" for label, value in each.labels.items())
    latest = max((drift.seen_at for drift in each.drifts), default=None)
    drift = f"{counted(len(each.drifts), 'group')}, seen {local(latest)}" if latest else NOTHING
    notes = [] if each.answering else [each.said]
    if each.pause is not None:
        notes.append(each.pause.text)
    if each.silence is not None:
        notes.append(each.silence.text(each.spared_for))
    answers = "yes" if each.answering else "no"
    return each.host, answers, labels or NOTHING, drift, "; ".join(notes) or NOTHING


def _document(each: HostStatus) -> dict[str, object]:
    return {
        **document(each, "host url labels answering said"),
        "paused": each.pause and document(each.pause, "by at why"),
        "spared": each.silence and document(each.silence, "since until failures why"),
        "drift": [document(drift, "group found seen_at expected=end.presence") for drift in each.drifts],
    }


@command()
def doctor(session: Session) -> Exit:
    """Check Redis, workers, beat and hosts, and print a fix for each problem.

    Examples:
      lockstep doctor
      lockstep doctor --json | jq '.findings[] | select(.level != "ok")'

    Exit codes: 0 all is well, 1 there are warnings or failures.
    """
    code = session.judge(_findings(session), DOCTOR_WIDTH)
    session.damage.clear()  # they are findings
    return code


def _findings(session: Session) -> Generator[Finding]:
    """Yield what is found; settings that cannot be used are a finding too, and the only one."""
    try:
        client = session.client()
    except InvalidInput as error:
        remedy = "docs/settings.md has every setting and its limits"
        yield Finding("settings", Level.FAILURE, str(error), remedy)
        return
    yield from client.examine()


@command()
@click.argument("host")
@option("--watch SECONDS", "How long to look for a write whose client left.", default=30)
def probe(session: Session, host: str, watch: float) -> Exit:
    """Test whether the API of HOST does what Lockstep needs, and recommend settle_seconds.

    Examples:
      lockstep probe node1
      lockstep probe node1 --watch 120
      lockstep probe node1 --json | jq .settle_seconds

    Writes scratch groups named lockstep-probe-…, on this host alone, and deletes them again.
    Exit codes: 0 all is well, 1 there are warnings or failures, 4 the host gave no usable answer.
    """
    from lockstep.producer.doctor.contract import Probe
    from lockstep.producer.doctor.scratch import recommended

    seconds = parse_watch(watch)
    client = session.client()
    probing = Probe(client.serving("group", [host])[0], client.settings, seconds)
    note(f"scratch groups are written to {host} and deleted again; this may take {seconds:g} s and more")

    def about() -> dict[str, object]:
        late = probing.late_writes
        return {
            "host": host,
            "settle_seconds": recommended(late, client.settings) if late else None,
            "late_writes": [document(each, "stayed landed trouble") for each in late],
            "left": probing.left,
        }

    try:
        return session.judge(probing.run(), PROBE_WIDTH, about)
    except KeyboardInterrupt:
        if probing.left:
            session.going_on = f"{named(probing.left)} could not be deleted from {host}"
        raise
