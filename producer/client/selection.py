"""Which hosts, and which operation, a caller means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches

from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput, LockstepError, RecordDamaged
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, Loss, OperationId, Status
from lockstep.worker.operation.names import named, parse_group_id, parse_operation_id, show
from lockstep.worker.record.damage import REMEDIES, gone, unknown
from lockstep.worker.record.link import Link

MOST_SHOWN = 10
Condition = tuple[str, str, str]
"""A label, `=` or `!=`, and a value; a host without the label meets only the latter, as in kubectl."""


def parse_condition(text: object) -> Condition:
    """Return a condition from its text; raise InvalidInput naming the rule it breaks."""
    if not isinstance(text, str):
        raise InvalidInput(f"condition {show(text)} is of type {type(text).__name__}: give label=value")
    left, separator, value = text.partition("=")
    label, value = left.removesuffix("!").strip(), value.strip()
    if not separator or not label or not value:
        raise InvalidInput(f"condition {show(text)} is neither label=value nor label!=value")
    return label, "!=" if left.endswith("!") else "=", value


def select(
    inventory: Inventory,
    names: Iterable[object] | None = None,
    where: Iterable[object] = (),
    except_: Iterable[object] = (),
) -> tuple[Host, ...]:
    """Return the named hosts (all for None) that meet every condition, without the excepted ones.

    Raises InvalidInput for a name or label that the inventory does not have, and if no host is left.
    """
    conditions = [parse_condition(each) for each in _listed("where", where)]
    known = {label for host in inventory for label in host.labels}
    for label, _, _ in conditions:
        if label not in known:
            # A misspelled label in a `!=` would otherwise select every host.
            raise InvalidInput(f"no host has the label {show(label)}; known: {_some(sorted(known))}")
    excepted = _listed("except_", except_)
    left_out = {host.name for host in inventory.select(excepted)} if excepted else set()
    named = inventory.select(names)
    meeting = [
        host
        for host in named
        if all((host.labels.get(label) == value) is (sign == "=") for label, sign, value in conditions)
    ]
    chosen = tuple(host for host in meeting if host.name not in left_out)
    if not chosen:
        raise InvalidInput(_nothing_left(named, meeting, conditions))
    return chosen


def _listed(noun: str, values: object) -> list[object]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{noun} {show(values)} is of type {type(values).__name__}: give a list")
    return list(values)


def _nothing_left(named: Sequence[Host], meeting: Sequence[Host], conditions: Sequence[Condition]) -> str:
    if meeting:
        return f"no host is left: all {len(meeting)} that were selected are excepted"
    wanted = " and ".join(map("".join, conditions))
    labels = dict.fromkeys(label for label, _, _ in conditions)
    held = (
        f"{label} is {_some(sorted({host.labels[label] for host in named if label in host.labels}))}"
        for label in labels
    )
    return f"no host meets {wanted}; among the {len(named)} hosts asked for {', '.join(held)}"


def _some(texts: Sequence[str]) -> str:
    more = f", … ({len(texts)} in all)" if len(texts) > MOST_SHOWN else ""
    return (", ".join(map(show, texts[:MOST_SHOWN])) + more) or "none"


NEWEST = 5000
"""Operations whose ids are compared with one that may be mistyped."""
LOOK_AROUND = 3.0
"""Seconds for which other databases are searched for an id that this one does not have."""
LIKE = 0.8
"""Ids are alike from this share of common characters on: one of twelve is wrong, missing or misplaced."""


def find(link: Link, text: str, inventory: Callable[[], Inventory]) -> Status:
    """Return the operation that has this id, or the only one whose id begins with it.

    Raises InvalidInput for the beginning of several, RecordGone for one whose record Redis has lost,
    RecordDamaged for one that cannot be read, and UnknownOperation, which says what the text looks like.
    Raises StoreUnavailable.
    """
    key = parse_operation_id(text)
    try:
        found, ids = _meant(link, key)
    except RecordDamaged as error:
        raise RecordDamaged(
            f'the record of operation "{key}" cannot be read: {error}; {REMEDIES["operation"]}'
        ) from error
    if len(ids) > 1:
        several = named(sorted(ids))
        raise InvalidInput(f'operation id "{key}" is the beginning of several: {several}; give more of it')
    if isinstance(found, Loss):
        raise gone(found)
    if found is None:
        raise unknown(key, looks_like(link, key, inventory))
    return found


def group_of(link: Link, text: str) -> GroupId:
    """Return the group that is meant by its id, or by the id, or its beginning, of an operation on it."""
    group = parse_group_id(text)
    if link.store.lock_owner(group) or link.store.ends(group):
        return group
    found, _ = _meant(link, OperationId(group))
    return found.group if found else group


def _meant(link: Link, key: OperationId) -> tuple[Status | Loss | None, set[OperationId]]:
    """Return the operation with this id, or the only one whose id begins with it; and the ids that do."""
    if found := link.store.operation(key):
        return found, {key}
    lost = link.store.lost()
    ids = {key} if key in lost else {*link.ids(f"{key}*"), *(each for each in lost if each.startswith(key))}
    if len(ids) != 1:
        return None, ids
    (only,) = ids
    return lost.get(only) or link.store.operation(only), ids


def looks_like(link: Link, key: OperationId, inventory: Callable[[], Inventory]) -> str:
    """Say what an id that no operation has may be instead; an empty text if it looks like nothing."""
    with suppress(InvalidInput):
        if inventory().find(HostName(key)) is not None:
            return f"it is a host of the inventory: `lockstep hosts --hosts {key}`"
    group = GroupId(key)
    if link.store.lock_owner(group) or link.store.ends(group):
        return f"it is a group: `lockstep history --group {key}` lists its operations"
    ids = {each.lower(): each for each in link.newest(NEWEST)}
    if alike := get_close_matches(key.lower(), ids, n=3, cutoff=LIKE):
        return f"it looks like {' or '.join(ids[each] for each in alike)}, mistyped"
    with suppress(LockstepError):
        if (home := link.elsewhere(key, LOOK_AROUND)) is not None:
            database, prefix, found = home
            where = f'database {database} under the key prefix "{prefix}"'
            is_ = "it is" if found == key else f"{found} is"
            return f"{is_} in {where}: see the end of LOCKSTEP_REDIS_URL, and LOCKSTEP_KEY_PREFIX"
    return ""
