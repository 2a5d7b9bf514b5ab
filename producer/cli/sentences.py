"""What an operation came to, in one line for people."""

from __future__ import annotations

from lockstep.producer.results import Result
from lockstep.producer.wording import counted, named
from lockstep.worker.operation.model import Action, Outcome, Undo
from lockstep.worker.operation.states import State

DONE = {Action.CREATE: "created", Action.DELETE: "deleted"}
SO_BEFORE = {Action.CREATE: "there before", Action.DELETE: "gone before"}


def sentence(result: Result, action: Action) -> str:
    """Return one line; it ends with the operation's id."""
    return f"{_told(result, action)} (operation {result.operation_id})"


def _told(result: Result, action: Action) -> str:
    group = f'group "{result.group}"'
    match result.state:
        case State.COMMITTED:
            so_before = sum(host.outcome is Outcome.UNCHANGED for host in result.hosts)
            aside = f", {SO_BEFORE[action]} on {so_before} of them" if so_before else ""
            return f"{DONE[action]} {group} on {counted(len(result.hosts))}{aside}"
        case State.ROLLED_BACK:
            return f"rolled back, every host is as before: {action} {group}, because {result.reason}"
        case State.ABANDONED:
            left = [host.host for host in result.hosts if host.undo is Undo.ABANDONED]
            return (
                f"rolled back except on {named(left)}, abandoned: {action} {group}, because {result.reason}"
            )
    return (
        f"rolling back, {named(result.pending_hosts)} pending and retried until restored: "
        f"{action} {group}, because {result.reason}"
    )
