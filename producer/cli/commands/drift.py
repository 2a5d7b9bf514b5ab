"""Commands about what is not as the last operations left it, and what they left: drift, repair, forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.commands.change import ACCEPT_LOSS, change
from lockstep.producer.cli.exits import OF_STATE, Exit, Session
from lockstep.producer.cli.options import FieldOptions, Selection, as_option, command, host_options, option
from lockstep.producer.cli.output import answer, answer_table, document, note, printable, read_document
from lockstep.producer.cli.text import sentence
from lockstep.worker.operation.errors import RecordGone
from lockstep.worker.operation.host import age
from lockstep.worker.operation.model import Action, Presence
from lockstep.worker.operation.names import alike, counted, named, parse_moment

if TYPE_CHECKING:
    from lockstep.producer.operators.drift import GroupDrift
    from lockstep.worker.operation.drift import Drift


@command()
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
def drift(session: Session, groups: tuple[str, ...]) -> Exit:
    """Ask the hosts now, and show which differ from what the last operation left there.

    Give a group's id, KIND/ID of a thing, or the id of an operation on one. Of things it shows the fields
    that differ, host by host: what was left with -, what is there now with +.

    Examples:
      lockstep drift
      lockstep drift rabbitmq-vhost/team-a
      lockstep drift team-a team-b --json
      lockstep drift 7f3c81d2aa01

    Exit codes: 0 every host is as the last operations left it, 1 some are not, or the hosts of a group
    without a record differ from one another, 4 none is known to differ, but something could not be compared,
    or a group that is named is neither recorded nor on any host.
    Groups that an operation works on are left out; if it has waves, the hosts that it is through with are
    compared with what it asks.
    """
    client = session.client()
    meant = [client.group_of(each) for each in groups]
    for text, group in zip(groups, meant, strict=True):
        if text != group and "/" not in text:
            note(f"{text} is an operation on {group}")
    looked = list(client.drift(meant or None))
    drifted = [each for look in looked for each in look.drifts]
    apart = [look for look in looked if look.apart]
    by_name = {group for text, group in zip(groups, meant, strict=True) if text == group or "/" in text}
    strange = [look.group for look in looked if look.nowhere and look.group in by_name]
    told = {
        "drift": [_drift_row(look, each) for look in looked for each in look.drifts],
        "unmeasured": [row for look in looked for row in _held(look)],
        "uncovered": [{"group": look.group, "host": host} for look in looked for host in look.uncovered],
    }
    session.show(lambda: told, lambda: _tell(looked, drifted, apart))
    for doubt, of in alike((look.group, doubt) for look in looked for doubt in _doubts(look)):
        note(f"{named(of)}: {doubt}")
    lacking = ((look.group, (host, "/" in look.group)) for look in looked for host in look.uncovered)
    for (host, things), of in alike(lacking):
        how = f"lockstep apply FILE --hosts {host}" if things else f"lockstep sync {host}"
        what = ", with it under `present`, brings it there" if things else " brings it up to date"
        note(f"{host} was never covered by an operation on {named(of)}: `{how}`{what}")
    if strange:
        what = "may be misspelt, or be the id of an operation whose record is gone"
        note(f"{named(strange)}: {what}; see {RecordGone.page}")
    if drifted or apart:
        return Exit.FOUND
    untold = strange or any(look.silent or look.untold or look.overtaken for look in looked)
    nothing = looked and all(look.owner and not look.compared for look in looked)
    return Exit.UNANSWERED if untold or nothing else Exit.OK


def _tell(looked: list[GroupDrift], drifted: list[Drift], apart: list[GroupDrift]) -> None:
    measured = sum(look.compared > 0 for look in looked)
    plain = (each for each in drifted if "/" not in each.group)
    rows = [(each.group, each.host, each.end.presence, each.found, each.end.operation) for each in plain]
    if rows:
        answer_table(("GROUP", "HOST", "SHOULD BE", "IS", "BY OPERATION"), rows)
    for look in looked:
        by_host = ((each.host, (each.end.operation, *look.lines.get(each.host, ()))) for each in look.drifts)
        for (by, *lines), hosts in alike(by_host if look.lines else ()):
            answer(printable(f"{look.group} on {', '.join(hosts)}, left otherwise by operation {by}:"))
            for line in lines:
                answer(printable(f"    {line}"))
    if not drifted and not apart and measured:
        what = "thing" if any("/" in look.group for look in looked) else "group"
        where = ", on the hosts that answered" if any(look.silent for look in looked) else ""
        answer(f"no drift in {counted(measured, what)}{where}: all is as the last operations left it")
    elif not looked:
        answer("no group is known here: nothing was compared")
    elif not drifted and not any(look.unmeasured for look in looked):
        answer("nothing could be compared")
    if apart:
        answer_table(("GROUP", "HOST", "IS"), [tuple(row.values()) for look in apart for row in _held(look)])
        answer("")
        answer("no operation that has ended says which of these is right")
    if drifted or apart:
        answer("")
    if apart or any(look.drifts and not look.owner and not look.lines for look in looked):
        answer("`lockstep repair GROUP --to present|absent` brings a group back, on all hosts or none")
    for look in looked:
        if look.owner and look.drifts:
            answer(f"`lockstep cancel {look.owner}` brings its hosts back to what they held before")
        elif look.lines:
            remedy = f"`lockstep repair {look.group}` brings it back to what was left, on all hosts or none"
            if look.gone:
                given = " ".join(f"--secret {name}=@FILE" for name in look.secrets)
                remedy = (
                    f"`lockstep set {look.group} --create {given}` makes it anew: nothing keeps its secrets"
                )
            answer(printable(remedy))


def _held(look: GroupDrift) -> list[dict[str, str]]:
    return [{"group": look.group, "host": host, "found": found} for host, found in look.unmeasured.items()]


def _drift_row(look: GroupDrift, each: Drift) -> dict[str, object]:
    lines = {"lines": look.lines[each.host]} if look.lines else {}
    return {**document(each, "group host expected=end.presence found operation=end.operation"), **lines}


def _doubts(look: GroupDrift) -> Iterator[str]:
    if look.owner is not None:
        through = "only hosts that it is through with are compared until it has ended"
        advice = through if look.compared else "ask again once it has ended"
        yield f"operation {look.owner} is at work; {advice}"
    if look.overtaken:
        yield "operations ended while it was compared; ask again"
    if look.untold:
        yield look.untold
    if look.unmeasured and not look.apart:
        held = next(iter(look.unmeasured.values()))
        yield f"no operation on it is recorded; {held} on {named(list(look.unmeasured))}"
    if look.silent:
        yield f"no usable answer from {named(look.silent)}"
    if look.strangers:
        yield f"not in the inventory, or with another URL: {named(look.strangers)}"


@command()
@click.argument("group", metavar="GROUP|KIND/ID")
@option("--to", "Of a group.", "presence", type=click.Choice([each.value for each in Presence]))
@ACCEPT_LOSS
@host_options
@as_option
def repair(
    session: Session, *, group: str, presence: str | None, accept_loss: bool, selection: Selection
) -> Exit:
    """Create or delete GROUP everywhere, so that all hosts agree; or bring a thing back to what was left.

    Examples:
      lockstep repair team-a --to present
      lockstep repair team-a --to absent --hosts node3
      lockstep repair rabbitmq-vhost/team-a

    An ordinary operation, all hosts or none; the exit codes are those of create and delete.
    """
    if "/" in group and not group.startswith("group/"):
        return _repair_thing(session, group, accept_loss)
    if presence is None:
        raise click.UsageError("Missing option '--to'. Choose from: absent, present")
    verb = Action.to(Presence(presence)).value
    return change(session, verb, group, FieldOptions(), selection)


def _repair_thing(session: Session, thing: str, accept_loss: bool) -> Exit:
    begun = session.client().repair(thing, accept_loss=accept_loss)
    results = [(operation, operation.wait()) for operation in begun]
    told = [sentence(result, operation.verb) for operation, result in results]
    told = told or [f"no host differs: {thing} is as the last operation left it"]
    session.show(
        lambda: {"operations": [read_document(operation) for operation in begun]},
        lambda: answer("\n".join(map(printable, told))),
    )
    return max((OF_STATE[result.state] for _, result in results), default=Exit.OK)


SHOWN = 20
"""Groups that are listed; the others are counted."""


@command()
@option("--deleted-before WHEN", "90d (ago), or 2026-01-31.", "text", required=True)
@option("--yes", "Do it; without, it is only shown.", "do_it")
def forget(session: Session, text: str, do_it: bool) -> Exit:
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
    rows = [
        (group.group, str(group.hosts), age(group.at, now), f"{bytes_:,}") for group, bytes_ in found[:SHOWN]
    ]
    if rows and not session.as_json:
        answer_table(("GROUP", "HOSTS", "DELETED", "BYTES"), rows)
        if len(found) > SHOWN:
            answer(f"and {counted(len(found) - SHOWN, 'group')} more")
    groups = [{**asdict(group), "bytes": bytes_} for group, bytes_ in found]
    return session.done(told, lambda: {"forgotten": do_it, "groups": groups, "bytes": size})
