"""Commands about the hosts themselves: hosts, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import (
    Selection,
    as_option,
    debug_option,
    json_option,
    pass_session,
    selection_options,
)
from lockstep.producer.cli.view.output import answer, answer_json, answer_table, moment, printable
from lockstep.producer.text import counted
from lockstep.worker.operation.host import local

if TYPE_CHECKING:
    from lockstep.producer.operators.hosts import HostStanding
    from lockstep.worker.operation.drift import Drift
    from lockstep.worker.operation.host import Pause, Spell

HEADER = ("HOST", "ANSWERS", "LABELS", "DRIFT", "NOTE")
NOTHING = "-"
HOSTS_EXAMPLES = """\b
Examples:
  lockstep hosts
  lockstep hosts --where zone=eu --json | jq -r '.hosts[] | select(.answering | not) | .host'

Exit codes: 0 every host answers, 1 some do not."""
PAUSE_EXAMPLES = """\b
Examples:
  lockstep pause node3 --why "disk swap, ticket 4711"
  lockstep hosts --hosts node3

Operations that were accepted before go on; new ones that need the host are refused with the reason."""
RESUME_EXAMPLES = """\b
Examples:
  lockstep resume node3 && lockstep sync node3"""


@click.command(epilog=HOSTS_EXAMPLES)
@selection_options
@json_option
@debug_option
@pass_session
def hosts(session: Session, *, selection: Selection, as_json: bool) -> Exit:
    """Ask every host now, and show its labels, the drift seen on it, and whether it is paused."""
    cluster = session.client()
    found = cluster.hosts(selection.names(cluster))
    if as_json:
        answer_json({"hosts": [_document(each) for each in found]})
    else:
        answer_table(HEADER, map(_row, found))
    return Exit.OK if all(each.answering for each in found) else Exit.FOUND


@click.command(epilog=PAUSE_EXAMPLES)
@click.argument("host")
@click.option("--why", metavar="TEXT", required=True, help="Why; whoever is refused is told.")
@as_option
@json_option
@debug_option
@pass_session
def pause(session: Session, *, host: str, why: str, created_by: str | None, as_json: bool) -> Exit:
    """Refuse new operations that need HOST, until it is resumed."""
    cluster = session.client(created_by)
    held = cluster.pause(host, why)
    told = f"paused {host}: new operations that need it are refused until `lockstep resume {host}`"
    session.going_on = printable(told if held is None else f"{host} is {held.text}; that stays as it is")
    if as_json:
        answer_json({"host": host, "paused": True, "already": _pause_document(held)})
    else:
        answer(session.going_on)
    return Exit.OK


@click.command(epilog=RESUME_EXAMPLES)
@click.argument("host")
@json_option
@debug_option
@pass_session
def resume(session: Session, *, host: str, as_json: bool) -> Exit:
    """Let operations that need HOST begin again."""
    ended = session.client().resume(host)
    told = f"{host} is not paused" if ended is None else f"resumed {host}: it was {ended.text}"
    session.going_on = printable(told)
    if as_json:
        answer_json({"host": host, "paused": False, "ended": _pause_document(ended)})
    else:
        answer(session.going_on)
    return Exit.OK


def _row(each: HostStanding) -> tuple[str, ...]:
    labels = ",".join(f"{label}={value}" for label, value in each.labels.items())
    notes = [] if each.answering else [each.said]
    if each.pause is not None:
        notes.append(each.pause.text)
    if each.spell is not None:
        notes.append(each.spell.text(each.spared_for))
    return (
        each.host,
        "yes" if each.answering else "no",
        labels or NOTHING,
        _drift(each.drifts),
        "; ".join(notes) or NOTHING,
    )


def _drift(drifts: tuple[Drift, ...]) -> str:
    if not drifts:
        return NOTHING
    return f"{counted(len(drifts), 'group')}, seen {local(max(each.seen_at for each in drifts))}"


def _document(each: HostStanding) -> dict[str, object]:
    return {
        "host": each.host,
        "url": each.url,
        "labels": dict(each.labels),
        "answering": each.answering,
        "said": each.said,
        "paused": _pause_document(each.pause),
        "spared": _spell_document(each.spell),
        "drift": [
            {
                "group": drift.group,
                "expected": drift.end.presence,
                "found": drift.found,
                "seen_at": moment(drift.seen_at),
            }
            for drift in each.drifts
        ],
    }


def _spell_document(spell: Spell | None) -> dict[str, object] | None:
    if spell is None:
        return None
    return {
        "since": moment(spell.since),
        "until": moment(spell.until),
        "failures": spell.failures,
        "why": spell.why,
    }


def _pause_document(held: Pause | None) -> dict[str, object] | None:
    return None if held is None else {"by": held.by, "at": moment(held.at), "why": held.why}
