"""Hosts that differ from what the last ended operations left there, found by asking them now.

While an operation works on a group in waves, which may be held for days, its measure is what the operation
asks, on the hosts that it is through with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from lockstep.producer.operators.hosts import look_at_group, look_at_thing, presence_of, together
from lockstep.producer.operators.plan import diff
from lockstep.worker.inventory import Inventory
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.answer import LookVerdict
from lockstep.worker.operation.content import Id
from lockstep.worker.operation.drift import Drift, End
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, OperationId, Outcome, Presence, Status, Step
from lockstep.worker.operation.thing import Likeness, ThingEnd
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind
    from lockstep.worker.record.redis import RedisStore

Pair = tuple[GroupId, HostName]
GROUPS_AT_ONCE = 100
"""Groups that are compared together: what is found is soon told, and few operations come in between."""
REACHED = (Outcome.APPLIED, Outcome.UNCHANGED)
LOOKS = 3
"""Times that a group or a thing is looked at while operations on it end meanwhile."""


@dataclass(frozen=True, slots=True)
class GroupDrift:
    """What asking the hosts of one group brought."""

    group: GroupId
    """Or `KIND/ID` of a thing."""
    drifts: tuple[Drift, ...] = ()
    compared: int = 0
    """How many hosts were found to be as they were left, or not."""
    silent: tuple[HostName, ...] = ()
    """Hosts that gave no usable answer."""
    strangers: tuple[HostName, ...] = ()
    """Hosts that an operation covered, but that the inventory lacks or has under another URL."""
    uncovered: tuple[HostName, ...] = ()
    """Hosts of the inventory that no ended operation on it covered, though they serve its kind and others
    hold it."""
    owner: OperationId | None = None
    """The operation that works on the group: its end will be the measure. Until then only hosts that it is
    through with are compared, with what it asks, and only if it has waves."""
    overtaken: bool = False
    """Whenever the hosts were asked, operations ended meanwhile: nothing can be said."""
    untold: str = ""
    """Why a thing cannot be compared here: its kind or a key is lacking."""
    unmeasured: Mapping[HostName, Presence] = field(default_factory=dict)
    """What every host holds of a group where nothing says what it should be: no operation on it has ended, or
    they left it nowhere, and a host that none of them covered holds it."""
    lines: Mapping[HostName, tuple[str, ...]] = field(default_factory=dict)
    """Of a thing: how each host that drifted differs, a line for each old and each new value."""
    gone: tuple[HostName, ...] = ()
    """Hosts on which a thing is gone that has secrets: nothing keeps these, and no repair makes it anew."""
    secrets: tuple[str, ...] = ()
    """The names of those."""

    @property
    def apart(self) -> bool:
        """True if hosts of an unmeasured group do not all hold the same."""
        return len(set(self.unmeasured.values())) > 1

    @property
    def nowhere(self) -> bool:
        """True if nothing says what it should be, and no host that answered holds it."""
        return set(self.unmeasured.values()) == {Presence.ABSENT}


class Comparison:
    """Asks hosts, many at once; of groups, a silent one is asked nothing more. Raises StoreUnavailable."""

    def __init__(self, store: RedisStore, inventory: Inventory, settings: Settings) -> None:
        self._store, self._inventory, self._settings = store, inventory, settings
        self._heard: set[HostName] = set()
        self._silent: set[HostName] = set()

    def of_groups(self, groups: Iterable[GroupId]) -> Iterator[GroupDrift]:
        """Ask the hosts of each group; what the patrol had recorded, and is gone, is taken off its list."""
        left = iter(groups)
        while some := list(islice(left, GROUPS_AT_ONCE)):
            yield from _until_told(some, self._of_groups)

    def of_thing(self, kind: Kind, thing: Id) -> GroupDrift:
        """Ask the hosts of a thing, and compare in the same way."""
        (found,) = _until_told([GroupId(thing.text)], lambda again: [self._of(kind, thing) for _ in again])
        return found

    def _shown(self, pairs: Mapping[Pair, Host]) -> dict[Pair, Presence | None]:
        """Return what each host shows of its group; None for no usable answer."""
        first = {host.name: pair for pair, host in pairs.items() if host.name not in self._heard}
        alone = set(first.values())  # one call each, before many are made to a host that may be down

        def one(pair: Pair) -> tuple[Pair, Presence | None]:
            host = pairs[pair]
            if host.name in self._silent:
                return pair, None
            answer, _ = look_at_group(host, pair[0], self._settings)
            (self._silent if answer.verdict is LookVerdict.NO_INFORMATION else self._heard).add(host.name)
            return pair, answer.presence

        return dict(answer for each in (alone, pairs.keys() - alone) for answer in together(one, each))

    def _through(self, owner: OperationId) -> Iterator[tuple[Status, Step]]:
        """Yield the hosts of open waves that already have what an undecided operation asks."""
        found = self._store.operation(owner)
        if found and found.rollout and not found.decision:
            yield from ((found, step) for step in self._store.steps(owner) if step.outcome in REACHED)

    def _measure(self, group: GroupId) -> tuple[OperationId | None, dict[HostName, End]]:
        if (owner := self._store.lock_owner(group)) is None:
            return None, self._store.ends(group)
        return owner, {
            step.host: End(of.action.target, owner, of.created_at, step.fingerprint)
            for of, step in self._through(owner)
        }

    def _of_groups(self, groups: Sequence[GroupId]) -> Iterator[GroupDrift]:
        began = dict(zip(groups, together(self._measure, groups), strict=True))
        known = {group: self._to_ask(ends) for group, (owner, ends) in began.items() if not owner or ends}
        shown = self._shown({(group, name): host for group, at in known.items() for name, host in at.items()})
        now = self._store.now()
        for group, (owner, ends) in began.items():
            if group not in known:
                yield GroupDrift(group, owner=owner)
                continue
            seen = {name: shown[group, name] for name in known[group]}
            silent = tuple(name for name, held in seen.items() if held is None)
            heard = {name: held for name, held in seen.items() if held is not None}
            if not ends:
                yield GroupDrift(group, silent=silent, unmeasured=heard)
                continue
            asked = ((name, ends[name], held) for name, held in heard.items() if name in ends)
            compared = {name: end.drift(group, name, held, now) for name, end, held in asked}
            drifts = tuple(drift for drift in compared.values() if drift is not None)
            if owner is not None:
                found = GroupDrift(group, drifts, len(compared), silent)
                yield _meanwhile(self._measure(group), owner, ends, found)
                continue
            gone = {name: None for name, drift in compared.items() if drift is None}
            left = any(held is Presence.PRESENT for name, held in heard.items() if name not in ends)
            if self._store.keep_drift(group, ends, gone) is None:
                yield GroupDrift(group, overtaken=True)
                continue
            yield GroupDrift(
                group,
                drifts=drifts,
                compared=len(compared),
                silent=silent,
                strangers=tuple(name for name in ends if name not in seen),
                uncovered=tuple(uncovered(ends, self._inventory)) if is_held(ends) else (),
                unmeasured=heard if left else {},
            )

    def _to_ask(self, ends: Mapping[HostName, End]) -> dict[HostName, Host]:
        """Return the hosts that ends say something about; all of them for a group that none should hold."""
        named = {name: self._inventory.find(name) for name in ends}
        known = {
            name: host for name, host in named.items() if host and host.fingerprint == ends[name].fingerprint
        }
        return known | ({} if is_held(ends) else uncovered(ends, self._inventory))

    def _measure_of(
        self, lock: GroupId, group: GroupId
    ) -> tuple[OperationId | None, dict[HostName, ThingEnd]]:
        if (owner := self._store.lock_owner(lock)) is None:
            return None, self._store.contents_left(group)
        order, found = self._store.order(owner), {}
        for of, step in self._through(owner):
            if order and order.content and order.group == group:
                digest = (step.trace and step.trace.as_seen) or order.content.target
                text = self._store.text(owner, digest)
                found[step.host] = ThingEnd(digest, owner, of.created_at, step.fingerprint, text)
        return owner, found

    def _of(self, kind: Kind, thing: Id) -> GroupDrift:
        group, lock = GroupId(thing.text), GroupId(kind.lock(thing))
        owner, left = self._measure_of(lock, group)
        if owner is not None and not left:
            return GroupDrift(group, owner=owner)
        asked = self._inventory.serving(kind.name)
        if left:
            known = {name: end.fingerprint for name, end in left.items()}
            asked = tuple(host for host in asked if known.get(host.name) == host.fingerprint)
        looks = together(lambda host: look_at_thing(host, kind, thing, self._settings)[0], asked)
        shown = {host.name: each for host, each in zip(asked, looks, strict=True)}
        held = {name: presence for name, each in shown.items() if (presence := presence_of(each))}
        silent = tuple(name for name in shown if name not in held)
        if not left:
            return GroupDrift(group, silent=silent, unmeasured=held)
        now, lines, drifts, seals = self._store.now(), {}, [], SealKeys(self._settings.seal_key_file)
        for name, presence in held.items():
            end, each = left[name], shown[name]
            try:
                expected = seals.content(kind, group, end.text)
            except InvalidInput as error:
                return GroupDrift(group, untold=str(error))
            if each.tells and kind.meets(expected, each.content) is not Likeness.TARGET:
                lines[name] = diff(kind, expected, each.content)
                was = Presence.ABSENT if expected is None else Presence.PRESENT
                was_left = End(was, end.operation, end.at, end.fingerprint)
                drifts.append(Drift(group, name, was_left, presence, now))
        strangers = tuple(name for name in left if name not in shown)
        found = GroupDrift(group, tuple(drifts), len(held), silent, strangers, lines=lines)
        again = self._measure_of(lock, group)
        if owner is not None:
            return _meanwhile(again, owner, left, found)
        if again[1] != left:
            return GroupDrift(group, overtaken=True)
        gone = tuple(each.host for each in drifts if each.found is Presence.ABSENT and kind.secrets)
        return replace(
            found,
            uncovered=tuple(uncovered(left, self._inventory, kind.name)) if is_held(left) else (),
            gone=gone,
            secrets=tuple(sorted(kind.secrets)) if gone else (),
        )


def _until_told(
    groups: Sequence[GroupId], compare: Callable[[Sequence[GroupId]], Iterable[GroupDrift]]
) -> Iterator[GroupDrift]:
    looked: dict[GroupId, GroupDrift] = {}
    for _ in range(LOOKS):
        again = [group for group in groups if group not in looked or looked[group].overtaken]
        looked |= {each.group: each for each in compare(again)}
    return (looked[group] for group in groups)


def _meanwhile(
    now: tuple[OperationId | None, Mapping[HostName, End | ThingEnd]],
    owner: OperationId,
    then: Mapping[HostName, End | ThingEnd],
    found: GroupDrift,
) -> GroupDrift:
    """Return what was found while an operation works on the group, unless it is undone or over by now."""
    still = now[0] == owner and then.items() <= now[1].items()
    return replace(found, owner=owner) if still else GroupDrift(found.group, owner=owner)


def uncovered(
    ends: Mapping[HostName, End | ThingEnd], inventory: Inventory, kind: str = "group"
) -> dict[HostName, Host]:
    """Return the hosts that serve a kind and that the ends of a group, or of a thing, say nothing about."""
    return {each.name: each for each in inventory.serving(kind) if each.name not in ends}


def is_held(ends: Mapping[HostName, End | ThingEnd]) -> bool:
    """Tell whether a group or a thing was left on some host: others can lack it."""
    return any(
        end.text is not None if isinstance(end, ThingEnd) else end.presence is Presence.PRESENT
        for end in ends.values()
    )


def without_kind(store: RedisStore, thing: GroupId, why: InvalidInput) -> GroupDrift:
    """Tell that the kind of a thing is not here, and where its definition is kept."""
    orders = (store.order(left.operation) for left in store.contents_left(thing).values())
    kept = next((order.content.title for order in orders if order and order.content), None)
    remedy = f"; put its file back: `lockstep kinds show {kept}` prints what is kept of it" if kept else ""
    return GroupDrift(thing, untold=f"{why.what}{remedy}")
