"""Asking hosts whether they hold a group, one or many at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from lockstep.worker.calling import Renewed
from lockstep.worker.host import HostClient
from lockstep.worker.operation.answer import ProbeAnswer, Probed
from lockstep.worker.operation.errors import HostUnavailable
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId, Presence
from lockstep.worker.operation.ports import HostApi
from lockstep.worker.settings import Settings

AT_ONCE = 32
"""Hosts asked at the same time: the work is waiting, and a host that hangs holds up no more than its slot."""

LOOKS = 5
"""GETs at most, so that whoever asks hears soon."""

T = TypeVar("T")
R = TypeVar("R")


def ask(host: Host, group: GroupId, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Tell whether the host holds the group, by at most LOOKS GETs, none begun after `call_timeout`.

    Raises HostUnavailable if none of them brought a usable answer.
    """
    answer, tries = probe(host, group, settings, sleep)
    held = holds(answer)
    if held is None:
        asked = "once" if tries == 1 else f"{tries} times"
        raise HostUnavailable(
            f'host "{host.name}" gave no usable answer ({answer.text}), asked {asked}: '
            "see whether it is up, and its URL in the inventory"
        )
    return held is Presence.PRESENT


def probe(
    host: Host, group: GroupId, settings: Settings, sleep: Callable[[float], None] = time.sleep
) -> tuple[ProbeAnswer, int]:
    """Ask as `ask` does; return the first usable answer, else the last, and how many GETs it took."""
    client: HostApi = HostClient(host, settings)
    if host.token_file:
        client = Renewed(client, host.token_file)
    ends = time.monotonic() + settings.call_timeout
    tries = 0
    while True:
        answer = client.probe(group)
        tries += 1
        pause = settings.forward_backoff.delay(tries, random.random())
        final = answer.probed is not Probed.NO_INFORMATION or tries == LOOKS
        if final or time.monotonic() + pause >= ends:
            return answer, tries
        sleep(pause)


def holds(answer: ProbeAnswer) -> Presence | None:
    """Return what an answer shows, None if it tells nothing."""
    return answer.presence


def together(function: Callable[[T], R], items: Iterable[T], at_once: int = AT_ONCE) -> list[R]:
    """Call the function for every item, so many at a time; return what it gave, in the items' order."""
    items = list(items)
    contexts = [copy_context() for _ in items]  # what is noted there is noted here
    items = list(items)
    contexts = [copy_context() for _ in items]  # what is noted there is noted here
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="lockstep")
    try:
        return list(pool.map(lambda item, own: own.run(function, item), items, contexts))
    finally:
        pool.shutdown(cancel_futures=True)
