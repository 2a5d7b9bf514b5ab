"""What plan, drift and repair tell of things: differing fields, host by host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from lockstep.producer.cli.exits import OF_STATE, Exit, Session
from lockstep.producer.cli.view.output import answer, answer_json, note, printable, read_document
from lockstep.producer.cli.view.text import sentence
from lockstep.producer.text import counted

if TYPE_CHECKING:
    from lockstep.producer.operators.things import HostThing, ThingPlan

Found = Mapping[str, "list[HostThing]"]


def differing(found: Found) -> list[str]:
    return [thing for thing, rows in found.items() if any(row.does == "drifted" for row in rows)]


def documents(found: Found) -> list[dict[str, object]]:
    return [{"thing": thing, **asdict(row)} for thing, rows in found.items() for row in rows]


def tell_drift(found: Found, as_json: bool) -> Exit:
    """Tell of things which fields differ on which host."""
    if as_json:
        answer_json({"things": documents(found)})
    else:
        for thing, rows in found.items():
            for row in rows:
                if row.does == "drifted":
                    answer(printable(f"{thing} on {row.host}, left otherwise by operation {row.operation}:"))
                    for line in row.lines:
                        answer(printable(f"    {line}"))
                elif row.problem:
                    note(f"{thing}: {row.problem}")
        for thing in differing(found):
            answer(
                printable(f"`lockstep repair {thing}` brings it back to what was left, on all hosts or none")
            )
        if not differing(found):
            answer(f"no drift in {counted(len(found), 'thing')}: all is as the last operations left it")
    return Exit.FOUND if differing(found) else Exit.OK


def repair_thing(
    session: Session, thing: str, accept_loss: bool, created_by: str | None, as_json: bool
) -> Exit:
    begun = session.client(created_by).repair_thing(thing, accept_loss=accept_loss)
    results = [(operation, operation.wait()) for operation in begun]
    if as_json:
        answer_json({"operations": [read_document(operation) for operation in begun]})
    else:
        for operation, result in results:
            answer(printable(sentence(result, operation.action, "set")))
        if not begun:
            answer(printable(f"no host differs: {thing} is as the last operation left it"))
    return max((OF_STATE[result.state] for _, result in results), default=Exit.OK)


def tell_plan(made: ThingPlan, as_json: bool) -> Exit:
    if as_json:
        answer_json({**asdict(made), "problems": made.problems})
        return Exit.FOUND if made.problems else Exit.OK
    for host in made.hosts:
        answer(printable(f"{host.host}: {host.does}{f', for {host.problem}' if host.problem else ''}"))
        for line in host.lines:
            answer(printable(f"    {line}"))
    if made.loses:
        answer(printable(f"an undo would not bring back {', '.join(made.loses)}: needs --accept-loss"))
    return Exit.FOUND if made.problems else Exit.OK
