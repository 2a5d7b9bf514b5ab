"""Which operation a text means: a whole id or the beginning of one; else what it looks like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from typing import cast
from urllib.parse import urlsplit

from lockstep.producer.link import Link, gone, unknown
from lockstep.producer.wording import named
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput, LockstepError, RecordDamaged
from lockstep.worker.operation.model import GroupId, HostName, Operation, OperationId
from lockstep.worker.operation.names import parse_group_id, parse_operation_id
from lockstep.worker.settings import Settings
from lockstep.worker.store.causes import store_errors
from lockstep.worker.store.connection import client
from lockstep.worker.store.damage import REMEDIES

NEWEST = 5000
"""Operations whose ids are compared with one that may be mistyped."""
LOOK_AROUND = 3.0
"""Seconds for which other databases are searched for an id that this one does not have."""
LIKE = 0.8
"""Ids are alike from this share of common characters on: one of twelve is wrong, missing or misplaced."""


def find(link: Link, text: str, inventory: Callable[[], Inventory]) -> Operation:
    """Return the operation that has this id, or the only one whose id begins with it.

    Raises InvalidInput for the beginning of several, RecordGone for one whose record Redis has lost,
    RecordDamaged for one that cannot be read, and UnknownOperation, which says what the text looks like.
    Raises StoreUnavailable.
    """
    key = parse_operation_id(text)
    try:
        found = link.store.operation(key)
    except RecordDamaged as error:
        raise RecordDamaged(
            f'the record of operation "{key}" cannot be read: {error}; {REMEDIES["operation"]}'
        ) from error
    if found is not None:
        return found
    lost = link.store.lost()
    if key in lost:
        raise gone(lost[key])
    ids = _beginning_with(link, key, lost)
    if len(ids) > 1:
        several = named(sorted(ids))
        raise InvalidInput(f'operation id "{key}" is the beginning of several: {several}; give more of it')
    for only in ids:
        if only in lost:
            raise gone(lost[only])
        found = link.store.operation(only)
        if found is not None:
            return found
    raise unknown(key, looks_like(link, key, inventory))


def group_of(link: Link, text: str) -> GroupId:
    """Return the group that is meant by its id, or by the id, or its beginning, of an operation on it."""
    group = parse_group_id(text)
    if link.store.lock_owner(group) or link.store.ends(group):
        return group
    key, lost = OperationId(group), link.store.lost()
    found = lost.get(key) or link.store.operation(key)
    ids = () if found else tuple(_beginning_with(link, key, lost))
    if len(ids) == 1:
        found = lost.get(ids[0]) or link.store.operation(ids[0])
    return found.group if found else group


def _beginning_with(link: Link, key: OperationId, lost: Iterable[OperationId]) -> set[OperationId]:
    return {*link.ids(f"{key}*"), *(each for each in lost if each.startswith(key))}


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
        for database, prefix in homes(link.settings, key):
            where = f'database {database} under the key prefix "{prefix}"'
            return f"it is in {where}: see the end of LOCKSTEP_REDIS_URL, and LOCKSTEP_KEY_PREFIX"
    return ""


def homes(settings: Settings, operation: OperationId) -> Iterator[tuple[int, str]]:
    """Yield in which databases of this Redis, and under which key prefixes, an operation is recorded.

    Looks for some seconds at the most. Raises StoreUnavailable.
    """
    ends = time.monotonic() + LOOK_AROUND
    name = f"op:{operation}"
    with store_errors(), client(settings) as here:
        spaces = cast(dict[str, object], here.info("keyspace"))
        for number in sorted(int(each.removeprefix("db")) for each in spaces if each.startswith("db")):
            url = urlsplit(settings.redis_url.reveal())._replace(path=f"/{number}").geturl()
            with client(settings.at(url)) as there:
                for key in there.scan_iter(match=f"*{name}", count=1000):
                    yield number, str(key).removesuffix(name)
                    if time.monotonic() > ends:
                        return
