"""Finding out how an installation is, from where the command runs. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from typing import cast

from lockstep.producer.discovery import discover
from lockstep.producer.doctor.checks import (
    About,
    WorkFacts,
    on_damage,
    on_hosts,
    on_inventories,
    on_pauses,
    on_settings,
    on_stalls,
    on_uncovered,
    on_work,
)
from lockstep.producer.doctor.findings import (
    Finding,
    Level,
    on_connections,
    on_records,
    on_redis,
    on_remembered,
)
from lockstep.producer.operators.hosts import probe, together
from lockstep.worker.celery import ABOUT, OPERATIONS, ROLLBACK, make_app
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput, StoreUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, HostName, Operation, Presence, Stage
from lockstep.worker.record.causes import NO_REDIS, unavailable
from lockstep.worker.record.fields import Damage, noted
from lockstep.worker.record.link import Link
from lockstep.worker.record.status import HeldInventory
from lockstep.worker.settings import Settings

NO_GROUP = GroupId("lockstep-doctor")
"""Asked for with a GET; it need not exist."""
PING = 1.5
"""Seconds that workers have to answer."""
GROUPS = 100
"""Groups that tell whether a host is new: one that none of so many covers is."""
NEWEST = 100
"""Operations that are read to see whether they can be."""
SWEPT = "sweep-done"
PERIODS = 3
"""A sweep must be seen to be done within so many of its periods."""
LOOK = 0.1
"""Seconds between looks at whether one was."""


def examine(
    link: Link, settings: Settings, inventory: Callable[[], Inventory], stuck: Callable[[], int]
) -> Iterator[Finding]:
    """Yield what was found, as it is found; whatever is wrong becomes a finding, not an error."""
    found = discover()
    yield on_settings(settings, stack=found is not None and found.redis_url == settings.redis_url.reveal())
    try:
        facts = link.facts()
        yield from on_redis(facts, settings.memory_watermark)
        work = _work(link, settings, stuck)
        yield from on_connections(facts, len(work.workers))
        yield from on_work(work, settings)
        yield from on_stalls(link.stalls.all())
        yield from on_pauses(link.pauses.all())
        kept = link.store.remembered()
        yield on_remembered(kept, facts, settings)
        yield on_records(link.store.operations(NEWEST), link.store.now(), kept, facts, settings)
        yield from on_damage(_damage(link))
    except StoreUnavailable as error:
        yield Finding("redis", Level.FAILURE, error.what, error.remedy or None)
    try:
        known = inventory()
        hosts = list(known)
    except InvalidInput as error:
        yield Finding("inventory", Level.FAILURE, str(error), "set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY")
        return
    try:
        now = link.store.now()
        here = HeldInventory(known.digest, len(known), now)
        yield from on_inventories(here, link.clocks.inventories(), now)
        yield from _uncovered(link, [host.name for host in hosts])
    except StoreUnavailable:
        pass  # a finding by now
    yield from on_hosts(dict(together(lambda host: (host.name, _problem(host, settings)), hosts)))


def _problem(host: Host, settings: Settings) -> str | None:
    answer, _ = probe(host, NO_GROUP, settings)
    return answer.text if answer.presence is None else None


def _uncovered(link: Link, hosts: list[HostName]) -> list[Finding]:
    ends = [link.store.ends(group) for group in islice(link.store.groups_with_ends(), GROUPS)]
    held = [each for each in ends if any(end.presence is Presence.PRESENT for end in each.values())]
    return on_uncovered(hosts, len(held), {name for each in held for name in each})


def _damage(link: Link) -> Collection[Damage]:
    """Read all that is short, the newest operations and some groups, and return what is damaged of it."""
    with noted() as found:
        for operation in link.unended():
            link.store.steps(operation.id)
        link.store.operations(NEWEST)
        link.look_for_damage(islice(link.store.groups_with_ends(), GROUPS))
    return found


def _work(link: Link, settings: Settings, stuck: Callable[[], int]) -> WorkFacts:
    here, began, before = link.clocks.ahead(), time.monotonic(), _lengths(link)
    queues, workers = _workers(settings)
    ends = time.monotonic() + PERIODS * settings.sweep_every
    swept = link.leased(SWEPT)
    while swept is None and time.monotonic() < ends:
        time.sleep(LOOK)
        swept = link.leased(SWEPT)
    overdue, lag = link.store.patrol_overdue()
    lengths, took = _lengths(link), time.monotonic() - began
    return WorkFacts(
        queues=queues,
        swept=swept is not None,
        leased=link.leased("sweep") or 0,
        here=About(version("lockstep"), version("celery")),
        workers=workers,
        clocks={**({} if here is None else {"this machine": here}), **link.clocks.all()},
        lengths=lengths,
        growth={queue: (length - before[queue]) / took for queue, length in lengths.items()},
        stuck=stuck(),
        baking=sum(bakes(each) for each in link.unended()),
        failing=link.store.failing(),
        patrol_overdue=overdue,
        patrol_lag=lag,
        lost=link.unresolved(),
    )


def bakes(operation: Operation) -> bool:
    return (
        operation.decision is None
        and operation.rollout is not None
        and operation.rollout.stage in (Stage.BAKING, Stage.WAITING)
    )


def _lengths(link: Link) -> dict[str, int]:
    return {queue: link.queue_length(queue) for queue in (OPERATIONS, ROLLBACK)}


def _workers(settings: Settings) -> tuple[dict[str, Sequence[str]], dict[str, About | None]]:
    """Ask all workers which queues they serve and what they are."""
    from kombu.exceptions import OperationalError

    app = make_app(settings)
    try:
        serving = app.control.inspect(timeout=PING).active_queues()
        told = app.control.broadcast(ABOUT, reply=True, timeout=PING)
    except (OperationalError, *NO_REDIS) as error:
        raise unavailable(error) from error
    finally:
        app.close()
    queues: dict[str, Sequence[str]] = {
        worker: [queue["name"] for queue in each]
        for worker, each in cast(dict[str, list[dict[str, str]]], serving or {}).items()
    }
    answers = {worker: each for reply in told or () for worker, each in reply.items()}
    return queues, {worker: _about(answers.get(worker)) for worker in {*queues, *answers}}


def _about(told: Mapping[str, object] | None) -> About | None:
    """Return what a worker said; None if it does not know the question."""
    match told:
        case {"lockstep": str(lockstep), "celery": str(celery)}:
            return About(lockstep, celery)
    return None
