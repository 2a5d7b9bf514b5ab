"""What an operation would do on every host, asked now; contents as diffs; and what a new host lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from functools import cache
from typing import TYPE_CHECKING

from lockstep.producer.operators.hosts import look_at_group, look_at_thing, presence_of, together
from lockstep.worker.kinds import barred
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.answer import LookVerdict
from lockstep.worker.operation.content import Content, Id, Sight, canonical
from lockstep.worker.operation.errors import HostUnavailable, InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, Presence, Step
from lockstep.worker.operation.thing import ABSENT, DEFINITION, Digest, Likeness
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind
    from lockstep.worker.record.redis import RedisStore

CALLS = {Action.CREATE: "POST /v1/group/", Action.DELETE: "DELETE /v1/group/"}
HIDDEN = "(differs)"
"""Stands for values that are not shown to people."""


def diff(kind: Kind, old: Content | None, new: Content | None) -> tuple[str, ...]:
    """Return how two contents differ in what both tell of, a line for each value; None is absent."""
    if old is None and new is None:
        return ()
    if old is None or new is None:
        whole, sign = (new, "+") if old is None else (old, "-")
        assert whole is not None
        listed = [line for name in kind.fields for line in _line(kind, sign, name, whole.values.get(name))]
        return (f"{sign} {'made' if old is None else 'gone'}", *listed)
    lines: list[str] = []
    for name in (each for each in kind.fields if each in old.values and each in new.values):
        was, value = old.values[name], new.values[name]
        if canonical(was) == canonical(value):
            continue
        if kind.fields[name].sensitive:
            lines.append(f"~ {name}: {HIDDEN}")
        elif apart := _by_line(was, value):
            lines += [f"~ {name}:", *apart]
        else:
            lines += [*_line(kind, "-", name, was), *_line(kind, "+", name, value)]
    return tuple(lines)


def _by_line(was: object, value: object) -> list[str]:
    """Return which lines of a text of several differ."""
    if not isinstance(was, str) or not isinstance(value, str) or "\n" not in was.strip() + value.strip():
        return []
    apart = list(unified_diff(was.splitlines(), value.splitlines(), n=1, lineterm=""))[2:]
    return [f"  {each}" for each in apart if not each.startswith("@@")]


def _line(kind: Kind, sign: str, name: str, value: object) -> list[str]:
    if value is None:
        return []
    shown = HIDDEN if name in kind.fields and kind.fields[name].sensitive else canonical(value)
    return [f"{sign} {name}: {shown}"]


def kept_kind(store: RedisStore, operation: OperationId) -> Kind | None:
    """Return the kind as an operation on a thing keeps it. Raises StoreUnavailable."""
    from lockstep.worker.kinds.kind import Kind

    source = store.text(operation, DEFINITION)
    return None if source is None else Kind(f"operation {operation}", source)


def differences(
    store: RedisStore, operation: OperationId, steps: Iterable[Step], key_file: str = ""
) -> dict[HostName, tuple[str, ...]]:
    """Return how what is asked for differs from what each host held, and what somebody else made of it.

    Empty for an operation on a group; what is sealed, and the keys of the file do not open, is said to be so.
    Raises StoreUnavailable.
    """
    order, kind = store.order(operation), kept_kind(store, operation)
    if order is None or order.content is None or kind is None:
        return {}
    target = order.content.target
    seals = SealKeys(key_file)

    @cache
    def content(digest: Digest) -> Content | None:
        text = None if digest == ABSENT else store.text(operation, digest)
        return seals.content(kind, order.group, text)

    found = {}
    for step in steps:
        if step.trace is None or step.trace.was is None:
            continue
        try:
            was, foreign = content(step.trace.was), step.trace.foreign
            lines = diff(kind, was, content(target))
            if foreign is not None:
                lines += ("shows instead, by somebody else:", *diff(kind, was, content(foreign)))
        except InvalidInput as error:
            lines = (str(error),)
        found[step.host] = lines
    return found


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What one host holds now, and what would be sent to it."""

    host: HostName
    holds: Presence | None
    """None if it gave no usable answer."""
    call: str | None
    """Of a thing which request of its kind: create, update or delete. None when the host is as asked already,
    or when there is a problem."""
    problem: str | None
    """Why the operation would fail on this host."""
    lines: tuple[str, ...] = ()
    """Of a thing: what would change, a line for each old and each new value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation would do on every host."""

    group: GroupId
    """Or `KIND/ID` of a thing."""
    verb: str
    """create, set or delete."""
    hosts: tuple[HostPlan, ...]
    paused: tuple[HostName, ...]
    """Hosts that are paused: it would be refused."""
    owner: OperationId | None
    """The operation that holds the group now: this one would wait for it."""
    loses: tuple[str, ...] = ()
    """What an undo would not bring back."""

    @property
    def problems(self) -> tuple[HostPlan, ...]:
        """The hosts on which it would fail, or for which it would be refused."""
        return tuple(each for each in self.hosts if each.problem is not None)

    @property
    def as_asked(self) -> tuple[HostName, ...]:
        """The hosts that need no call."""
        return tuple(each.host for each in self.hosts if each.call is None and each.problem is None)


def of_group(group: GroupId, action: Action, settings: Settings, host: Host) -> HostPlan:
    answer, _ = look_at_group(host, group, settings)
    held = answer.presence
    if held is None:
        return HostPlan(host.name, None, None, f"no usable answer: {answer.text}")
    if answer.verdict is LookVerdict.OVERSIZED and action is Action.DELETE:
        return HostPlan(host.name, held, None, "too large to be restored, so it would not be deleted")
    return HostPlan(host.name, held, None if held is action.target else CALLS[action], None)


def of_thing(
    kind: Kind,
    thing: Id,
    verb: str,
    target: Content | None,
    settings: Settings,
    upsert: bool,
    hidden: Sequence[str],
    host: Host,
) -> HostPlan:
    """`hidden` are the secret fields that are given: no look shows whether they differ."""
    seen, _ = look_at_thing(host, kind, thing, settings)
    held, shown = presence_of(seen), seen.content
    if held is None or seen.sight is Sight.OVERSIZED:
        return HostPlan(host.name, held, None, f"no usable answer: {seen.text}")
    if kind.meets(target, shown) is Likeness.TARGET and not hidden:
        return HostPlan(host.name, held, None, None)
    lines = (*diff(kind, shown, target), *(f"~ {name}: {HIDDEN}" for name in hidden))
    if bars := barred(kind, verb, target, shown, upsert=upsert):
        return HostPlan(host.name, held, None, bars, lines)
    does = "delete" if target is None else "create" if shown is None else "update"
    return HostPlan(host.name, held, does, None, lines)


@dataclass(frozen=True, slots=True)
class SyncItem:
    """What one group needs on the host that is brought up to date."""

    group: GroupId
    holds: Presence
    action: Action | None
    """None: it is as it should be, or nobody can tell what it should be."""
    note: str
    certain: bool = True
    """False if the ends of the other hosts contradict each other."""


def sync_plan(store: RedisStore, host: Host, settings: Settings) -> list[SyncItem]:
    """Tell, for every group of which an operation has ended, what the host holds and what it should hold.

    The host's own last end counts; a host without one should hold what all others agree on.
    Raises HostUnavailable when it gives no usable answer.
    """

    def due(group: GroupId) -> SyncItem:
        answer, _ = look_at_group(host, group, settings)
        held = answer.presence
        if held is None:
            raise HostUnavailable(
                f'host "{host.name}" gave no usable answer ({answer.text}) on "{group}": nothing was changed'
            )
        ends = store.ends(group)
        own = ends.get(host.name)
        wished = {own.presence} if own is not None else {end.presence for end in ends.values()}
        if len(wished) > 1:
            note = "the other hosts differ: nobody can tell what it should hold"
            return SyncItem(group, held, None, note, certain=False)
        (target,) = wished
        if held is target:
            return SyncItem(group, held, None, "as it should be")
        said = f"its own operation {own.operation}" if own is not None else "all other hosts"
        return SyncItem(group, held, Action.to(target), f"{target} by {said}")

    return together(due, sorted(store.groups_with_ends()))
