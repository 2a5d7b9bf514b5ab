"""`plan` and `apply`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.commands.change import ACCEPT_LOSS
from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import (
    FieldOptions,
    Selection,
    as_option,
    command,
    field_options,
    host_options,
    option,
    pace_options,
    read_given,
)
from lockstep.producer.cli.output import answer, answer_json, answer_table, document, note, printable
from lockstep.producer.cli.text import NOTHING
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import local
from lockstep.worker.operation.model import HostName, Millis, State
from lockstep.worker.operation.names import alike, counted, named, new_id, subject
from lockstep.worker.operation.waves import Pace, Rollout

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient
    from lockstep.producer.operators.batch import Wish, WishResult
    from lockstep.producer.operators.plan import HostPlan, Plan

HEADER = ("HOST", "HOLDS NOW", "CALL", "NOTE")


@command()
@click.argument("action", type=click.Choice(["create", "set", "delete"]), metavar="create|set|delete")
@click.argument("group", metavar="GROUP|KIND/ID")
@option("--create", "With set: make it where it is absent.", "upsert")
@field_options
@host_options
@pace_options
def plan(
    session: Session, action: str, group: str, *, fields: FieldOptions, selection: Selection, pace: Pace
) -> Exit:
    """Ask every host what it holds, and show what would be sent. Writes nothing.

    Of a thing it shows the fields that would change, host by host, and what an undo would not bring back.

    Examples:
      lockstep plan create team-a
      lockstep plan delete team-a --where zone=eu && lockstep delete team-a --where zone=eu
      lockstep plan create team-a --waves 1,10%,100% --bake 60s
      lockstep plan set rabbitmq-vhost/team-a --set description="Team A"

    Exit codes: 0 nothing stands in the way, 1 it would fail as things are now.
    """
    cluster = session.client()
    names = selection.names(cluster)
    if action == "set" and isinstance(cluster.named(group), str):
        raise InvalidInput(f"group {group} has no content to set: create or delete it")
    rollout = cluster.rollout(pace, cluster.serving(group, names))
    made = cluster.plan(
        action, group, names, fields.given(cluster, group), secrets=fields.hidden(), create=fields.upsert
    )
    waves = rollout.waves if rollout else {}
    if session.as_json:
        answer_json(_document(made, waves))
        return Exit.FOUND if made.problems else Exit.OK
    if "/" in made.group:
        for line in _diff(made, waves):
            answer(line)
    else:
        rows = [(*_row(host), *([f"wave {waves[host.host]}"] if waves else [])) for host in made.hosts]
        answer_table((*HEADER, "WHEN") if waves else HEADER, rows)
    answer("")
    for line in (*_summary(made), *_told(rollout, made, cluster)):
        answer(printable(line))
    return Exit.FOUND if made.problems else Exit.OK


def _diff(made: Plan, waves: Mapping[HostName, int]) -> Iterator[str]:
    """Yield what would change, a line for each old and each new value, and equal hosts together."""

    def does(host: HostPlan) -> tuple[str, ...]:
        call = host.call or (f"refuse, for {host.problem}" if host.problem else "nothing")
        return f"{call}{f' (wave {waves[host.host]})' if waves else ''}", *host.lines

    for (call, *lines), hosts in alike((host.host, does(host)) for host in made.hosts):
        yield printable(f"{', '.join(hosts)}: {call}")
        yield from (printable(f"    {line}") for line in lines)


def _told(rollout: Rollout | None, made: Plan, cluster: ClusterClient) -> list[str]:
    if rollout is None:
        return []
    sizes = Counter(rollout.waves.values())
    lines = [f"in {counted(len(sizes), 'wave')} of {', '.join(str(sizes[n]) for n in sorted(sizes))}"]
    if rollout.bake:
        bake = rollout.bake / 1000
        lines[0] += f"; baked for {bake:g} s each, so {len(sizes) * bake:g} s at least"
        ends = Millis(cluster.now() + len(sizes) * rollout.bake)
        lines.append(f"begun now it ends at {local(ends)} at the earliest, if each wave changes something")
    if len(sizes) > 1 and {host for host, wave in rollout.waves.items() if wave == 1} <= {*made.as_asked}:
        lines.append("wave 1 changes nothing: it is not baked, and no proof for the others")
    if rollout.health:
        paths = named(sorted(set(rollout.health.values())))
        lines.append(f"after each wave every host that was changed must answer 2xx at {paths}")
    if rollout.hold:
        lines.append("held after each wave but the last, until somebody promotes it")
    return lines


def _row(host: HostPlan) -> tuple[str, ...]:
    note = host.problem or (NOTHING if host.call else "as asked already")
    return (host.host, host.holds or NOTHING, host.call or NOTHING, note)


def _summary(made: Plan) -> list[str]:
    thing = "/" in made.group
    group = f"{made.verb} {subject(made.group)}"
    total, as_asked = len(made.hosts), len(made.as_asked)
    lines = []
    if made.owner is not None:
        it = "it" if thing else "the group"
        lines.append(f"operation {made.owner} holds {it}: this one would wait for it")
    if made.loses:
        lines.append(f"an undo would not bring back {', '.join(made.loses)}: needs --accept-loss")
    if 0 < as_asked < total and not made.problems:
        lines.append(f"the hosts differ now: {named(made.as_asked)} would be left alone, by a rollback too")
    if made.paused:
        ends = f"`lockstep resume {made.paused[0]}` ends the pause"
        lines.append(f"would be refused, for {named(made.paused)} is paused: {group}; {ends}")
    elif made.problems:
        failing = named([each.host for each in made.problems])
        lines.append(f"would fail on {failing}, and be rolled back: {group} on {counted(total)}")
    elif as_asked == total:
        lines.append(f"nothing to do to {group}: {counted(total)} as asked already")
    else:
        lines.append(f"would {group} on {total - as_asked} of {counted(total)}")
    return lines


def _document(made: Plan, waves: Mapping[HostName, int]) -> dict[str, object]:
    return {
        **document(made, "group action=verb"),
        "would_succeed": not made.problems,
        **document(made, "held_by=owner paused loses"),
        "hosts": [_host(each, waves) for each in made.hosts],
    }


def _host(host: HostPlan, waves: Mapping[HostName, int]) -> dict[str, object]:
    lines = {"lines": host.lines} if host.lines else {}
    wave = {"wave": waves[host.host]} if waves else {}
    return {**document(host, "host holds call problem"), **lines, **wave}


@command(lines=True)
@click.argument("file")
@host_options
@option("--plan", "Only show what would be done; write nothing.", "plan_only")
@ACCEPT_LOSS
@option(
    "--at-once",
    "Groups at a time.  [default: 8, and 1 where things of a kind are among them]",
    type=click.IntRange(1, 64),
)
@option("--resume RUN", "Go on with a run: what it started is not started again.")
@pace_options
@as_option
def apply(
    session: Session,
    *,
    file: str,
    selection: Selection,
    plan_only: bool,
    accept_loss: bool,
    at_once: int | None,
    resume: str | None,
    pace: Pace,
) -> Exit:
    """Create, set or delete everything in FILE, each on all hosts that serve it, or on none.

    Lines are ids of groups to create; YAML has lists `present:` and `absent:` of groups, KIND/ID, and in
    `present:` KIND/ID with fields. A secret field is `{file: PATH}`, relative to FILE. What would change of
    things is shown first.

    Examples:
      lockstep apply groups.txt
      lockstep apply wanted.yaml --plan
      lockstep apply wanted.yaml --where zone=eu --json
      cut -d, -f1 teams.csv | lockstep apply -
      lockstep apply groups.txt --resume 5d0c7e21b9aa

    Exit codes: 0 all are as asked, 1 some are not; with --plan 0 nothing stands in the way, 1 something does.
    """
    text = read_given(file)
    client = session.client()
    hosts = client.select(selection.names(client))
    folder = os.path.dirname(file)  # noqa: PTH120
    wishes = client.wishes(text, hosts, accept_loss=accept_loss or plan_only, folder=folder, pace=pace)
    if plan_only:
        made = [_planned(client, wish, hosts, pace, None if session.as_json else answer) for wish in wishes]
        if session.as_json:
            answer_json({"plans": [_document(*each) for each in made]})
        return Exit.FOUND if any(each.problems for each, _ in made) else Exit.OK
    for wish in wishes:
        if "/" in wish.group and not session.as_json:
            _planned(client, wish, hosts, pace, note)
    from rich.console import Console
    from rich.progress import Progress

    run = new_id() if resume is None else resume
    each = client.apply(wishes, hosts, run=run, at_once=at_once, pace=pace, accept_loss=accept_loss)
    session.going_on = f"what was started goes on; the same command with --resume {run} does the rest"
    noun = "thing" if any("/" in wish.group for wish in wishes) else "group"
    note(f"run {run}: {counted(len(wishes), noun)}")
    states: Counter[str] = Counter()
    quiet = session.as_json or not sys.stderr.isatty()
    console, together = Console(stderr=True, highlight=False), sys.stdout.isatty()
    bar = Progress(console=console, disable=quiet, redirect_stdout=together)
    # rich before 14 ends with an empty line, of a bar that is off, too
    with nullcontext() if quiet else bar, closing(each):
        for came in bar.track(each, total=len(wishes), description="groups"):
            states[came.state or "not started"] += 1
            _tell(came, session.as_json)
    counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items()))
    session.going_on = f"run {run}: {counts}"
    if not session.as_json:
        answer(session.going_on)
    return Exit.OK if set(states) == {State.COMMITTED} else Exit.FOUND


def _planned(
    client: ClusterClient,
    wish: Wish,
    hosts: Sequence[HostName],
    pace: Pace,
    tell: Callable[[str], None] | None,
) -> tuple[Plan, Mapping[HostName, int]]:
    """Return what a wish would do, and the wave of each host; tell it in lines."""
    serving = client.serving(wish.group, hosts, some=True)
    rollout = client.rollout(pace, serving)
    given = wish.verb, wish.group, [host.name for host in serving], wish.fields
    made = client.plan(*given, secrets=wish.secrets, create=wish.verb == "set")
    waves = rollout.waves if rollout else {}
    if tell is not None:
        tell(printable(f"{wish.verb} {wish.group}"))
        for line in (*_diff(made, waves), *_summary(made), *_told(rollout, made, client)):
            tell(f"  {printable(line)}")
    return made, waves


def _tell(came: WishResult, as_json: bool) -> None:
    committed = came.state is State.COMMITTED
    if as_json:
        told = document(came, "group=wish.group action=wish.verb id=operation state")
        answer(json.dumps({**told, "committed": committed, "reason": came.reason}))
    elif not committed:
        state = came.state or "not started"
        answer(printable(f"{came.wish.verb} {came.wish.group}: {state}, {came.reason} ({came.operation})"))
