"""What hosts show of a thing, asked now: for plans, and for whoever looks for drift; as diffs for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lockstep.producer.operators.hosts import look, together
from lockstep.worker.kinds import Kind, barred
from lockstep.worker.operation.content import Content, Id, Relation, canonical
from lockstep.worker.operation.host import Host, Pause
from lockstep.worker.operation.model import HostName, OperationId
from lockstep.worker.operation.names import show
from lockstep.worker.operation.thing import Left
from lockstep.worker.settings import Settings

HIDDEN = "(differs)"
"""Stands for values that are not shown to people."""


def diff(kind: Kind, old: Content | None, new: Content | None) -> tuple[str, ...]:
    """Return what differs between two contents, a line for each old and each new value; None is absent."""
    if old is None and new is None:
        return ()
    if old is None or new is None:
        whole, sign = (new, "+") if old is None else (old, "-")
        assert whole is not None
        listed = [line for name in kind.fields for line in _line(kind, sign, name, whole.values.get(name))]
        return (f"{sign} {'made' if old is None else 'gone'}", *listed)
    lines: list[str] = []
    for name in (each for each in kind.fields if each in new.values):
        was, value = old.values.get(name), new.values[name]
        if canonical(was) == canonical(value):
            continue
        if kind.fields[name].sensitive:
            lines.append(f"~ {name}: {HIDDEN}")
        else:
            lines += [*_line(kind, "-", name, was), *_line(kind, "+", name, value)]
    return tuple(lines)


def _line(kind: Kind, sign: str, name: str, value: object) -> list[str]:
    if value is None:
        return []
    shown = HIDDEN if name in kind.fields and kind.fields[name].sensitive else canonical(value)
    return [f"{sign} {name}: {shown}"]


@dataclass(frozen=True, slots=True)
class HostThing:
    """One host and a thing: what differs there from what is asked for, or was left."""

    host: HostName
    does: str
    """Of a plan: create, update, delete, nothing, or refuse; of drift: drifted, nothing."""
    lines: tuple[str, ...] = ()
    """The difference, a line each."""
    problem: str = ""
    """Why the operation would fail there, or nothing is known of it."""
    operation: OperationId | None = None
    """Of drift: the one that left the host otherwise."""


@dataclass(frozen=True, slots=True)
class ThingPlan:
    """What an operation on a thing would do, as things are now."""

    thing: str
    verb: str
    hosts: tuple[HostThing, ...]
    loses: tuple[str, ...]
    """What undoing it would not bring back."""
    held_by: OperationId | None
    """The operation that works on the thing now: this one would wait for it."""

    @property
    def problems(self) -> bool:
        """Whether it would fail as things are now."""
        return any(host.problem for host in self.hosts)


def _asked(
    hosts: Iterable[Host], kind: Kind, thing: Id, settings: Settings
) -> list[tuple[Host, Content | None, str]]:
    """Ask hosts at once; return what each shows, or why it does not tell."""

    def ask(host: Host) -> tuple[Host, Content | None, str]:
        shown, _ = look(host, kind, thing, settings)
        why = f"host {show(host.name)} does not tell what it holds: {shown.text}"
        return host, shown.content, "" if shown.tells else why

    return list(together(ask, list(hosts)))


def plan(
    hosts: Iterable[Host],
    kind: Kind,
    thing: Id,
    verb: str,
    target: Content | None,
    settings: Settings,
    owner: OperationId | None,
    pauses: Mapping[HostName, Pause],
    *,
    upsert: bool = False,
) -> ThingPlan:
    """Ask hosts what they show, and tell what an operation would do. Nothing is written."""
    paused = {name: pause.text for name, pause in pauses.items()}
    rows = [
        _planned(host, kind, verb, target, shown, paused.get(host.name, why), upsert)
        for host, shown, why in _asked(hosts, kind, thing, settings)
    ]
    changes = {"set": "update"}.get(verb, verb)
    lost = tuple(kind.loses(changes))  # type: ignore[arg-type]
    return ThingPlan(thing.text, verb, tuple(rows), lost, owner)


def _planned(
    host: Host, kind: Kind, verb: str, target: Content | None, shown: Content | None, why: str, upsert: bool
) -> HostThing:
    if why:
        return HostThing(host.name, "refuse", problem=why)
    if kind.meets(target, shown) is Relation.TARGET:
        return HostThing(host.name, "nothing")
    lines = diff(kind, shown, target)
    if bars := barred(kind, verb, target, shown, upsert=upsert):
        return HostThing(host.name, "refuse", lines, bars)
    does = "delete" if target is None else "create" if shown is None else "update"
    return HostThing(host.name, does, lines)


def drift(
    hosts: Mapping[HostName, Host], kind: Kind, thing: Id, left: Mapping[HostName, Left], settings: Settings
) -> list[HostThing]:
    """Ask the hosts that operations covered, and compare with what the last of them left there."""
    known = {name: hosts[name] for name in left if name in hosts}
    rows = [
        HostThing(name, "nothing", problem="the inventory lacks the host, or has another URL for it")
        for name, each in left.items()
        if name not in known or known[name].fingerprint != each.fingerprint
    ]
    strangers = {row.host for row in rows}
    asked = [host for name, host in known.items() if name not in strangers]
    for host, shown, why in _asked(asked, kind, thing, settings):
        end = left[host.name]
        expected = None if end.text is None else Content.read(end.text)
        if why or kind.meets(expected, shown) is Relation.TARGET:
            rows.append(HostThing(host.name, "nothing", problem=why, operation=end.operation))
        else:
            lines = diff(kind, expected, shown if expected is None else _only(shown, expected))
            rows.append(HostThing(host.name, "drifted", lines, operation=end.operation))
    return sorted(rows, key=lambda row: row.host)


def _only(shown: Content | None, expected: Content) -> Content | None:
    """Return of what is shown the fields that were left: others are nobody's to compare."""
    return shown and Content({name: shown.values.get(name) for name in expected.values})
