"""Finding out how an installation is, from where the command runs, its Redis included. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from typing import cast

from kombu.exceptions import OperationalError
from rich.filesize import decimal

from lockstep.producer.discovery import discover
from lockstep.producer.doctor import Finding, Level, checks
from lockstep.producer.operators.drift import is_held, uncovered
from lockstep.producer.operators.hosts import NO_GROUP, look_at_group, together
from lockstep.worker.celery import ABOUT, QUEUES, make_app
from lockstep.worker.connection.primary import OLDEST, too_old
from lockstep.worker.inventory import Inventory
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.drift import EndsSize
from lockstep.worker.operation.errors import InvalidInput, StoreUnavailable
from lockstep.worker.operation.model import HostName, Millis, Stage, Status
from lockstep.worker.operation.names import counted
from lockstep.worker.record.causes import NO_REDIS, unavailable
from lockstep.worker.record.damage import Damage, noted
from lockstep.worker.record.link import Link, RedisFacts
from lockstep.worker.record.reports import HeldInventory
from lockstep.worker.settings import Settings

RECORD, RECORD_OF_A_HOST = 0.7 * 1024, 0.33 * 1024
"""Bytes of the record of an operation, and of each of its hosts, as docs/scale.md has them."""
HOUR, DAY = 3_600_000, 86_400_000
"""In milliseconds."""
WORKER_CONNECTIONS = 42
OTHER_CONNECTIONS = 20
"""Connections at most, of a worker, and of all others together: docs/operations.md#connections."""
PING = 1.5
"""Seconds that workers have to answer."""
GROUPS = 100
"""Groups that are read to see whether they can be."""
COMPARED = 1000
"""Groups, and things, that tell which hosts lack what others hold."""
NEWEST = 100
"""Operations that are read to see whether they can be."""
PERIODS = 3
"""Periods of the sweep within which one must be seen to be done."""
LOOK = 0.1
"""Seconds between looks at whether one was."""


def examine(
    link: Link, settings: Settings, inventory: Callable[[], Inventory], stuck: Callable[[], int]
) -> Iterator[Finding]:
    """Yield what was found, as it is found; whatever is wrong becomes a finding, not an error."""
    found = discover()
    ours = found is not None and found.settings["redis_url"] == settings.redis_url.reveal()
    yield checks.on_settings(settings, stack=ours)
    away = False
    try:
        facts = link.facts()
        yield from on_redis(facts, settings.memory_watermark)
        yield from on_replicas(facts, settings.replicas)
        work = _work(link, settings, stuck)
        yield from on_connections(facts, len(work.workers))
        yield from checks.on_work(work, settings)
        yield from checks.on_stalls(link.stalls.all())
        yield from checks.on_pauses(link.pauses.all())
        yield from (Finding("limit", Level.OK, each.text) for each in link.limits.loads())
        kept = link.store.remembered()
        yield on_remembered(kept, facts, settings)
        yield on_records(link.store.operations(NEWEST), link.store.now(), kept, facts, settings)
        yield from checks.on_damage(_damage(link))
    except StoreUnavailable as error:
        away = True  # it is not asked again: each time would take as long
        yield Finding("redis", Level.FAILURE, error.what, error.remedy or None)
    try:
        known = inventory()
        hosts = list(known)
    except InvalidInput as error:
        yield Finding("inventory", Level.FAILURE, str(error), "set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY")
        return
    if not away:
        with suppress(StoreUnavailable):
            yield from _on_inventory(link, known)
    answers = together(lambda host: (host.name, look_at_group(host, NO_GROUP, settings)[0]), hosts)
    yield from checks.on_hosts({name: None if said.presence else said.text for name, said in answers})


def _on_inventory(link: Link, known: Inventory) -> Iterator[Finding]:
    """Compare the inventories of all, and tell which hosts lack what others hold."""
    now = link.store.now()
    here = HeldInventory(known.digest, len(known), now)
    yield from checks.on_inventories(here, link.clocks.inventories(), now)
    ends = together(link.store.ends, islice(link.store.groups_with_ends(), COMPARED))
    lacked = [uncovered(each, known).keys() for each in ends if is_held(each)]
    yield from checks.on_uncovered([host.name for host in known.serving("group")], lacked)
    things = list(islice(link.store.things(), COMPARED))
    by_kind: dict[str, list[Collection[HostName]]] = {}
    for thing, left in zip(things, together(link.store.contents_left, things), strict=True):
        if is_held(left):
            kind = thing.partition("/")[0]
            by_kind.setdefault(kind, []).append(uncovered(left, known, kind).keys())
    for kind, each_lacked in sorted(by_kind.items()):
        yield from checks.on_uncovered([host.name for host in known.serving(kind)], each_lacked, kind)


def _damage(link: Link) -> Collection[Damage]:
    """Read all that is short, the newest operations and some groups, and return what is damaged of it."""
    with noted() as found:
        for operation in link.unended():
            link.store.steps(operation.id)
        link.store.operations(NEWEST)
        link.look_for_damage(islice(link.store.groups_with_ends(), GROUPS))
    return found


def _work(link: Link, settings: Settings, stuck: Callable[[], int]) -> checks.WorkFacts:
    here, began, before = link.clocks.ahead(), time.monotonic(), _lengths(link)
    queues, workers = _workers(settings)
    ends = time.monotonic() + PERIODS * settings.sweep_every
    while (swept := link.leased("sweep-done")) is None and time.monotonic() < ends:
        time.sleep(LOOK)
    in_waves = [each.rollout for each in link.unended() if each.rollout and each.decision is None]
    baking = [each for each in in_waves if each.stage in (Stage.BAKING, Stage.WAITING)]
    overdue, lag = link.store.patrol_overdue()
    lengths, took = _lengths(link), time.monotonic() - began
    return checks.WorkFacts(
        queues=queues,
        swept=swept is not None,
        leased=link.leased("sweep") or 0,
        here=checks.About(version("lockstep"), version("celery"), SealKeys(settings.seal_key_file).told()),
        workers=workers,
        clocks={**({} if here is None else {"this machine": here}), **link.clocks.all()},
        lengths=lengths,
        growth={queue: (length - before[queue]) / took for queue, length in lengths.items()},
        stuck=stuck(),
        baking=len(baking),
        failing=link.store.failing(),
        patrol_overdue=overdue,
        patrol_lag=lag,
        lost=link.unresolved(),
    )


def _lengths(link: Link) -> dict[str, int]:
    return {queue: link.store.queue_length(queue) for queue in QUEUES}


def _workers(settings: Settings) -> tuple[dict[str, list[str]], dict[str, checks.About | None]]:
    """Ask all workers which queues they serve and what they are; one may be late with either answer."""
    app = make_app(settings)
    try:
        serving = app.control.inspect(timeout=PING).active_queues()
        told = app.control.broadcast(ABOUT, reply=True, timeout=PING)
    except (OperationalError, *NO_REDIS) as error:
        raise unavailable(error) from error
    finally:
        app.close()
    served = cast(dict[str, list[dict[str, str]]], serving or {})
    queues = {worker: [queue["name"] for queue in each] for worker, each in served.items()}
    return queues, {worker: _about(each) for reply in told or () for worker, each in reply.items()}


def _about(told: Mapping[str, object]) -> checks.About | None:
    """Return what a worker said; None if it does not know the question."""
    match told:
        case {"lockstep": str(lockstep), "celery": str(celery), **more}:
            return checks.About(lockstep, celery, str(more.get("seals", "")))
    return None


def on_redis(facts: RedisFacts, watermark: float) -> list[Finding]:
    """Judge Redis: it must keep what it acknowledged, and must never evict."""
    found = [Finding("redis", Level.OK, f"version {facts.version}")]
    if too_old(facts.version):
        text = f"version {facts.version} lacks commands that Lockstep uses"
        found = [Finding("redis", Level.FAILURE, text, f"Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey")]
    if not facts.aof:
        text = "appendonly is off: operations are lost when Redis restarts"
        found.append(Finding("redis", Level.FAILURE, text, "appendonly yes"))
    elif facts.fsync is None:
        text = "appendfsync cannot be read: CONFIG GET is refused"
        found.append(Finding("redis", Level.WARNING, text, "see that the server has appendfsync always"))
    elif facts.fsync != "always":
        text = f"appendfsync is {facts.fsync}: a crash of the machine can lose what was acknowledged"
        found.append(Finding("redis", Level.WARNING, text, "appendfsync always"))
    else:
        found.append(Finding("redis", Level.OK, "append-only file, written before it answers"))
    if facts.policy not in (None, "noeviction"):
        text = f"maxmemory-policy is {facts.policy}: records can be evicted"
        found.append(Finding("redis", Level.FAILURE, text, "maxmemory-policy noeviction"))
    if facts.limit and facts.used >= watermark * facts.limit:
        text = f"{facts.used / facts.limit:.0%} of maxmemory is used: new operations are refused"
        found.append(Finding("redis", Level.FAILURE, text, "raise maxmemory, or shorten the retention"))
    else:
        of = f" of {facts.limit >> 20} MiB" if facts.limit else ", without a limit"
        found.append(Finding("redis", Level.OK, f"{facts.used >> 20} MiB used{of}"))
    return found


def on_replicas(facts: RedisFacts, wanted: int) -> list[Finding]:
    """Compare the replicas that follow Redis with those that are waited for."""
    if not wanted:
        return []
    text = f"{facts.replicas} of {counted(wanted, 'replica')} that are waited for"
    if facts.replicas >= wanted:
        return [Finding("redis", Level.OK, text)]
    remedy = "see that they run, and LOCKSTEP_REPLICAS_WAIT: docs/operations.md#sentinel"
    return [Finding("redis", Level.FAILURE, f"{text}: nothing is begun, and what runs stands still", remedy)]


def on_connections(facts: RedisFacts, workers: int) -> list[Finding]:
    """Compare the connections that Redis takes with those that there are, and that there may be."""
    if not facts.most_clients:
        return []
    remedy = "raise maxclients on the server: docs/operations.md#connections has those of each process"
    has = f"{facts.clients} of {facts.most_clients} connections"
    if facts.clients >= checks.FULL * facts.most_clients:
        text = f"{has}: once all are taken, whoever comes next waits for one"
        return [Finding("redis", Level.WARNING, text, remedy)]
    wanted = workers * WORKER_CONNECTIONS + OTHER_CONNECTIONS
    if wanted > checks.FULL * facts.most_clients:
        text = f"{has}; {counted(workers, 'worker')} under load and their callers may want {wanted}"
        return [Finding("redis", Level.WARNING, text, remedy)]
    return [Finding("redis", Level.OK, has)]


def on_remembered(kept: EndsSize, facts: RedisFacts, settings: Settings) -> Finding:
    """Tell what deleted groups take in Redis, how that grows, and when it comes to the watermark."""
    each_day, days = kept.daily, settings.deleted_days
    text = f"{counted(kept.groups, 'group')} remembered in {size(kept.size)}"
    if kept.deleted:
        text += f", {kept.deleted} of them deleted, in {size(kept.deleted_size)}; of those {size(each_day)} "
        text += f"come a day, and each is kept for {days:g} days"
    room = settings.memory_watermark * facts.limit - facts.used
    more = each_day * days - kept.deleted_size  # from then on as many go as come
    if not facts.limit or not each_day or more <= room:
        return Finding("memory", Level.OK, text)
    text += f"; new operations are refused in about {max(0, room) / each_day:.0f} days"
    remedy = "lower LOCKSTEP_DELETED_DAYS, raise maxmemory, or: lockstep forget --deleted-before 30d"
    return Finding("memory", Level.WARNING, text, remedy)


def on_records(
    newest: Sequence[Status], now: Millis, kept: EndsSize, facts: RedisFacts, settings: Settings
) -> Finding:
    """Tell what the records of operations come to, if as many go on coming as the newest few."""
    if not newest:
        return Finding("records", Level.OK, "no operation has a record")
    hosts = sum(each.hosts_total for each in newest) / len(newest)
    lasted = max(HOUR, now - min(each.created_at for each in newest))
    daily = len(newest) * DAY / lasted
    number = min(settings.retention_count, daily * settings.retention_days)
    needed = number * (RECORD + hosts * RECORD_OF_A_HOST)
    text = f"{daily:.0f} operations a day of {hosts:.0f} hosts: their records come to {size(round(needed))}"
    allowed = settings.memory_watermark * facts.limit
    reached = max(facts.used, needed + kept.size)
    if not facts.limit or reached <= checks.FULL * allowed:
        return Finding("records", Level.OK, text)
    text += f", and all to {reached / allowed:.0%} of what Redis may hold before operations are refused"
    remedy = "lower LOCKSTEP_RETENTION_DAYS or LOCKSTEP_RETENTION_COUNT, or raise maxmemory: docs/scale.md"
    return Finding("records", Level.WARNING, text, remedy)


def size(number: int) -> str:
    return decimal(number, precision=0 if number < 1000**3 else 1)
