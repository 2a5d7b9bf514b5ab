"""Hosts that differ from what the last ended operations left there, found by asking them now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from lockstep.producer.operators.hosts import look as look_once
from lockstep.producer.operators.hosts import presence_of, probe, together
from lockstep.producer.operators.plan import diff
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.answer import Probed
from lockstep.worker.operation.content import Id, Relation
from lockstep.worker.operation.drift import Drift, End, Ends
from lockstep.worker.operation.errors import HostUnavailable, InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, Outcome, Presence, Stage
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.worker.kinds import Kind
    from lockstep.worker.record.redis import RedisStore

Pair = tuple[GroupId, HostName]
GROUPS_AT_ONCE = 100
"""Groups that are compared together: what is found is soon told, and few operations come in between."""
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
    """Hosts of the inventory that no ended operation on the group covered, though others hold it."""
    owner: OperationId | None = None
    """The operation that works on the group: its end will be the measure. While it bakes or is held, hosts
    of its waves so far were asked; else none was."""
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


class _HostReader:
    """Asks hosts, many at once. Of one that gave no usable answer, nothing more is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._heard: set[HostName] = set()
        self._silent: set[HostName] = set()

    def all(self, pairs: Mapping[Pair, Host]) -> dict[Pair, Presence | None]:
        """Return what each host shows of its group; None for no usable answer."""
        first = {host.name: pair for pair, host in pairs.items() if host.name not in self._heard}
        alone = set(first.values())  # one call each, before many are made to a host that may be down
        rounds = alone, pairs.keys() - alone

        def one(pair: Pair) -> tuple[Pair, Presence | None]:
            return pair, self._one(pair[0], pairs[pair])

        return dict(answer for each in rounds for answer in together(one, each))

    def _one(self, group: GroupId, host: Host) -> Presence | None:
        if host.name in self._silent:
            return None
        answer, _ = probe(host, group, self._settings)
        (self._silent if answer.probed is Probed.NO_INFORMATION else self._heard).add(host.name)
        return answer.presence


def look(
    store: RedisStore, inventory: Inventory, settings: Settings, groups: Iterable[GroupId]
) -> Iterator[GroupDrift]:
    """Ask the hosts of each group; what the patrol had recorded, and is gone, is taken off its list.

    Raises StoreUnavailable.
    """
    asking, left = _HostReader(settings), iter(groups)
    while some := list(islice(left, GROUPS_AT_ONCE)):
        yield from _until_told(some, lambda again: _look(store, inventory, asking, again))


def _until_told(
    groups: Sequence[GroupId], compare: Callable[[Sequence[GroupId]], Iterable[GroupDrift]]
) -> Iterator[GroupDrift]:
    looked: dict[GroupId, GroupDrift] = {}
    for _ in range(LOOKS):
        again = [group for group in groups if group not in looked or looked[group].overtaken]
        looked |= {each.group: each for each in compare(again)}
    return (looked[group] for group in groups)


def _look(
    store: RedisStore, inventory: Inventory, asking: _HostReader, groups: Sequence[GroupId]
) -> Iterator[GroupDrift]:
    def begin(group: GroupId) -> tuple[OperationId | None, dict[HostName, End]]:
        owner = store.lock_owner(group)
        return owner, store.ends(group) if owner is None else _so_far(store, owner)

    began = dict(zip(groups, together(begin, groups), strict=True))
    known = {group: _to_ask(inventory, ends) for group, (owner, ends) in began.items() if ends or not owner}
    shown = asking.all({(group, name): host for group, at in known.items() for name, host in at.items()})
    now = store.now()
    for group, (owner, ends) in began.items():
        if owner is not None:
            stands = bool(ends) and _so_far(store, owner) == ends
            asked = {name: shown[group, name] for name in ends if stands and name in known[group]}
            heard = {name: held for name, held in asked.items() if held is not None}
            differ = ((name, held) for name, held in heard.items() if held is not ends[name].presence)
            drifts = tuple(Drift(group, name, ends[name], held, now) for name, held in differ)
            yield GroupDrift(group, drifts, len(heard), tuple(asked.keys() - heard.keys()), owner=owner)
            continue
        seen = {name: shown[group, name] for name in known[group]}
        silent = tuple(name for name, held in seen.items() if held is None)
        heard = {name: held for name, held in seen.items() if held is not None}
        if not ends:
            yield GroupDrift(group, silent=silent, unmeasured=heard)
            continue
        found = {
            name: None if held is ends[name].presence else Drift(group, name, ends[name], held, now)
            for name, held in heard.items()
            if name in ends
        }
        gone = {name: None for name, drift in found.items() if drift is None}
        left = any(held is Presence.PRESENT for name, held in heard.items() if name not in ends)
        if store.keep_drift(group, ends, gone) is None:
            yield GroupDrift(group, overtaken=True)
            continue
        yield GroupDrift(
            group,
            drifts=tuple(drift for drift in found.values() if drift is not None),
            compared=len(found),
            silent=silent,
            strangers=tuple(name for name in ends if name not in seen),
            uncovered=tuple(_others(inventory, ends)) if _held(ends) else (),
            unmeasured=heard if left else {},
        )


def _so_far(store: RedisStore, owner: OperationId) -> dict[HostName, End]:
    """Return what an operation with waves has left on hosts so far; nothing while it works on any."""
    operation = store.operation(owner)
    standing = operation.rollout if operation and not operation.decision else None
    if operation is None or standing is None or standing.stage not in (Stage.BAKING, Stage.WAITING):
        return {}
    about = operation.action.target, owner, operation.created_at
    done = (step for step in store.steps(owner) if step.outcome in (Outcome.APPLIED, Outcome.UNCHANGED))
    return {step.host: End(*about, step.fingerprint) for step in done}


def _to_ask(inventory: Inventory, ends: Mapping[HostName, End]) -> dict[HostName, Host]:
    """Return the hosts that ends say something about; all of them for a group that none should hold."""
    named = {name: inventory.find(name) for name in ends}
    known = {
        name: host for name, host in named.items() if host and host.fingerprint == ends[name].fingerprint
    }
    return known | ({} if _held(ends) else _others(inventory, ends))


def _others(inventory: Inventory, ends: Mapping[HostName, End]) -> dict[HostName, Host]:
    """Return the hosts that serve groups and that ends say nothing about."""
    return {each.name: each for each in inventory if each.serves_kind("group") and each.name not in ends}


def _held(ends: Mapping[HostName, End]) -> bool:
    return any(end.presence is Presence.PRESENT for end in ends.values())


def look_at(store: Ends, inventory: Inventory, settings: Settings, kind: Kind, thing: Id) -> GroupDrift:
    """Ask the hosts of a thing, and compare: see `look`."""

    def compare(groups: Iterable[GroupId]) -> list[GroupDrift]:
        return [_look_at(store, inventory, settings, kind, thing, group) for group in groups]

    (found,) = _until_told([GroupId(thing.text)], compare)
    return found


def without_kind(store: RedisStore, thing: GroupId, why: InvalidInput) -> GroupDrift:
    """Tell that the kind of a thing is not here, and where its definition is kept."""
    orders = (store.order(left.operation) for left in store.contents_left(thing).values())
    kept = next((order.content.title for order in orders if order and order.content), None)
    remedy = f"; put its file back: `lockstep kinds show {kept}` prints what is kept of it" if kept else ""
    return GroupDrift(thing, untold=f"{str(why).partition(';')[0]}{remedy}")


def _look_at(
    store: Ends, inventory: Inventory, settings: Settings, kind: Kind, thing: Id, group: GroupId
) -> GroupDrift:
    from lockstep.worker.kinds import SealKeys

    if (owner := store.lock_owner(GroupId(kind.lock(thing)))) is not None:
        return GroupDrift(group, owner=owner)
    left = store.contents_left(group)
    asked = [host for host in inventory if host.serves_kind(kind.name)]
    if left:
        asked = [
            each for each in asked if each.name in left and each.fingerprint == left[each.name].fingerprint
        ]
    shown = together(lambda host: (host.name, look_once(host, kind, thing, settings)[0]), asked)
    seen = {name: each for name, each in shown if presence_of(each) is not None}
    silent = tuple(name for name, _ in shown if name not in seen)
    held = {name: presence_of(each) or Presence.ABSENT for name, each in seen.items()}
    if not left:
        return GroupDrift(group, silent=silent, unmeasured=held)
    now, lines, drifts, seals = store.now(), {}, [], SealKeys(settings.seal_key_file)
    for name, each in seen.items():
        end, text = left[name], left[name].text
        try:
            expected = seals.content(kind, group, text)
        except InvalidInput as error:
            return GroupDrift(group, untold=str(error))
        if each.tells and kind.meets(expected, each.content) is not Relation.TARGET:
            lines[name] = diff(kind, expected, each.content)
            was = Presence.ABSENT if expected is None else Presence.PRESENT
            drifts.append(
                Drift(group, name, End(was, end.operation, end.at, end.fingerprint), held[name], now)
            )
    if store.contents_left(group) != left:
        return GroupDrift(group, overtaken=True)
    strangers = tuple(name for name in left if name not in dict(shown))
    found = GroupDrift(group, tuple(drifts), len(seen), silent, strangers, lines=lines)
    gone = tuple(name for name, told in lines.items() if told[:1] == ("- gone",))
    return replace(found, gone=gone, secrets=tuple(sorted(kind.secrets))) if kind.secrets and gone else found


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


def sync_plan(store: Ends, host: Host, settings: Settings) -> list[SyncItem]:
    """Tell, for every group of which an operation has ended, what the host holds and what it should hold.

    The host's own last end counts; a host without one should hold what all others agree on.
    Raises HostUnavailable when it gives no usable answer.
    """
    groups = sorted(store.groups_with_ends())

    def due(group: GroupId) -> SyncItem:
        answer, _ = probe(host, group, settings)
        held = answer.presence
        if held is None:
            raise HostUnavailable(
                f'host "{host.name}" gave no usable answer ({answer.text}) on "{group}": nothing was changed'
            )
        return _due(group, held, store.ends(group), host.name)

    return together(due, groups)


def _due(group: GroupId, held: Presence, ends: Mapping[HostName, End], host: HostName) -> SyncItem:
    own = ends.get(host)
    wished = {own.presence} if own is not None else {end.presence for end in ends.values()}
    if len(wished) > 1:
        return SyncItem(
            group, held, None, "the other hosts differ: nobody can tell what it should hold", False
        )
    (target,) = wished
    if held is target:
        return SyncItem(group, held, None, "as it should be")
    said = f"its own operation {own.operation}" if own is not None else "all other hosts"
    return SyncItem(group, held, Action.to(target), f"{target} by {said}")
