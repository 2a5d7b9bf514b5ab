"""Finding out how an installation is, from where the command runs. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from producer.asking import holds, probe, together
from producer.doctor import WorkFacts, on_hosts, on_pauses, on_redis, on_work
from producer.findings import Finding, Level
from producer.link import Link
from worker.celery import OPERATIONS, ROLLBACK, make_app
from worker.inventory import Inventory
from worker.operation.errors import InvalidInput, StoreUnavailable
from worker.operation.host import Host
from worker.operation.model import GroupId
from worker.settings import Settings

NO_GROUP = GroupId("lockstep-doctor")
"""Asked for with a GET; it need not exist."""
PING = 1.5
"""Seconds that workers have to answer."""
PERIODS = 3
"""A sweep must be seen within so many of its periods."""
LOOK = 0.1
"""Seconds between looks at the sweep's lease, which is held for half a period at least."""


def examine(
    link: Link, settings: Settings, inventory: Callable[[], Inventory], stuck: Callable[[], int]
) -> Iterator[Finding]:
    """Yield what was found, as it is found; whatever is wrong becomes a finding, not an error."""
    try:
        yield from on_redis(link.facts(), settings.memory_watermark)
        yield from on_work(_work(link, settings, stuck), settings)
        yield from on_pauses(link.pauses.all())
    except StoreUnavailable as error:
        remedy = "see that it runs and what LOCKSTEP_REDIS_URL names; `make up` starts one"
        yield Finding("redis", Level.FAILURE, str(error), remedy)
    try:
        hosts = list(inventory())
    except InvalidInput as error:
        yield Finding("inventory", Level.FAILURE, str(error), "set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY")
        return
    yield from on_hosts(dict(together(lambda host: (host.name, _problem(host, settings)), hosts)))


def _problem(host: Host, settings: Settings) -> str | None:
    answer, _ = probe(host, NO_GROUP, settings)
    return answer.text if holds(answer) is None else None


def _work(link: Link, settings: Settings, stuck: Callable[[], int]) -> WorkFacts:
    skew = round(time.time() * 1000) - link.store.now()
    ends = time.monotonic() + PERIODS * settings.sweep_every
    queues = _queues(settings)
    swept = link.is_leased("sweep")
    while not swept and time.monotonic() < ends:
        time.sleep(LOOK)
        swept = link.is_leased("sweep")
    lengths = {queue: link.queue_length(queue) for queue in (OPERATIONS, ROLLBACK)}
    return WorkFacts(queues, swept, lengths, skew, stuck())


def _queues(settings: Settings) -> dict[str, Sequence[str]]:
    from kombu.exceptions import OperationalError

    app = make_app(settings)
    try:
        said = app.control.inspect(timeout=PING).active_queues()
    except (OperationalError, OSError) as error:
        raise StoreUnavailable(f"the broker does not answer: {error}") from error
    finally:
        app.close()
    found = cast(dict[str, list[dict[str, str]]], said or {})
    return {worker: [queue["name"] for queue in queues] for worker, queues in found.items()}
