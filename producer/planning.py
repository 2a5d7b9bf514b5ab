"""What an operation would do, found out by asking every host; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lockstep.producer.asking import holds, probe, together
from lockstep.producer.errors import NotReady
from lockstep.producer.wording import named
from lockstep.worker.operation.answer import Probed
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, Presence
from lockstep.worker.operation.pause import Pause
from lockstep.worker.settings import Settings

CALLS = {Action.CREATE: "POST /v1/group/", Action.DELETE: "DELETE /v1/group/"}


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What one host holds now, and what would be sent to it."""

    host: HostName
    holds: Presence | None
    """None if it gave no usable answer."""
    call: str | None
    """None when the host is as asked already, or when there is a problem."""
    problem: str | None
    """Why the operation would fail on this host."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation would do on every host."""

    group: GroupId
    action: Action
    hosts: tuple[HostPlan, ...]
    paused: tuple[HostName, ...]
    """Hosts that are paused: it would be refused."""
    owner: OperationId | None
    """The operation that holds the group now: this one would wait for it."""

    @property
    def problems(self) -> tuple[HostPlan, ...]:
        """The hosts on which it would fail, or for which it would be refused."""
        return tuple(each for each in self.hosts if each.problem is not None)

    @property
    def as_asked(self) -> tuple[HostName, ...]:
        """The hosts that need no call."""
        return tuple(each.host for each in self.hosts if each.holds is self.action.target)


def plan(
    hosts: Sequence[Host],
    group: GroupId,
    action: Action,
    settings: Settings,
    owner: OperationId | None,
    pauses: Mapping[HostName, Pause],
) -> Plan:
    """Ask every host what it holds; a host that gives no usable answer becomes a problem, not an error."""

    def of(host: Host) -> HostPlan:
        answer, _ = probe(host, group, settings)
        held = holds(answer)
        if host.name in pauses:
            return HostPlan(host.name, held, None, pauses[host.name].text)
        if held is None:
            return HostPlan(host.name, None, None, f"no usable answer: {answer.text}")
        if answer.probed is Probed.OVERSIZED and action is Action.DELETE:
            return HostPlan(host.name, held, None, "too large to be restored, so it would not be deleted")
        return HostPlan(host.name, held, None if held is action.target else CALLS[action], None)

    paused = tuple(host.name for host in hosts if host.name in pauses)
    return Plan(group, action, tuple(together(of, hosts)), paused, owner)


def require_answers(hosts: Sequence[Host], group: GroupId, settings: Settings) -> None:
    """Raise NotReady, naming them, if any of the hosts gives no usable answer."""

    def silence(host: Host) -> str | None:
        answer, _ = probe(host, group, settings)
        return f"{host.name} ({answer.text})" if holds(answer) is None else None

    silent = [each for each in together(silence, hosts) if each is not None]
    if silent:
        raise NotReady(f"nothing was written, for the preflight got no usable answer from {named(silent)}")
