"""Commands about the hosts themselves: hosts, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import Selection, as_option, command, selection_options
from lockstep.producer.cli.view.output import answer_json, answer_table, document, optional_document
from lockstep.producer.text import counted
from lockstep.worker.operation.host import local

if TYPE_CHECKING:
    from lockstep.producer.operators.hosts import HostStanding
    from lockstep.worker.operation.drift import Drift

HEADER = ("HOST", "ANSWERS", "LABELS", "DRIFT", "NOTE")
NOTHING = "-"


@command()
@selection_options
def hosts(session: Session, *, selection: Selection, as_json: bool) -> Exit:
    """Ask every host now, and show its labels, the drift seen on it, and whether it is paused.

    Examples:
      lockstep hosts
      lockstep hosts --where zone=eu --json | jq -r '.hosts[] | select(.answering | not) | .host'

    Exit codes: 0 every host answers, 1 some do not.
    """
    cluster = session.client()
    found = cluster.hosts(selection.names(cluster))
    if as_json:
        answer_json({"hosts": [_document(each) for each in found]})
    else:
        answer_table(HEADER, map(_row, found))
    return Exit.OK if all(each.answering for each in found) else Exit.FOUND


@command()
@click.argument("host")
@click.option("--why", metavar="TEXT", required=True, help="Why; whoever is refused is told.")
@as_option
def pause(session: Session, *, host: str, why: str, created_by: str | None, as_json: bool) -> Exit:
    """Refuse new operations that need HOST, until it is resumed.

    Examples:
      lockstep pause node3 --why "disk swap, ticket 4711"
      lockstep hosts --hosts node3

    Operations that were accepted before go on; new ones that need the host are refused with the reason.
    """
    cluster = session.client(created_by)
    held = cluster.pause(host, why)
    told = f"paused {host}: new operations that need it are refused until `lockstep resume {host}`"
    text = told if held is None else f"{host} is {held.text}; that stays as it is"
    return session.done(
        text, as_json, lambda: {"host": host, "paused": True, "already": optional_document(held, "by at why")}
    )


@command()
@click.argument("host")
def resume(session: Session, *, host: str, as_json: bool) -> Exit:
    """Let operations that need HOST begin again.

    Examples:
      lockstep resume node3 && lockstep sync node3
    """
    ended = session.client().resume(host)
    text = f"{host} is not paused" if ended is None else f"resumed {host}: it was {ended.text}"
    return session.done(
        text, as_json, lambda: {"host": host, "paused": False, "ended": optional_document(ended, "by at why")}
    )


def _row(each: HostStanding) -> tuple[str, ...]:
    labels = ",".join(f"{label}={value}" for label, value in each.labels.items())
    notes = [] if each.answering else [each.said]
    if each.pause is not None:
        notes.append(each.pause.text)
    if each.silence is not None:
        notes.append(each.silence.text(each.spared_for))
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
        **document(each, "host url labels answering said"),
        "paused": optional_document(each.pause, "by at why"),
        "spared": optional_document(each.silence, "since until failures why"),
        "drift": [
            {**document(drift, "group found seen_at"), "expected": drift.end.presence}
            for drift in each.drifts
        ],
    }
