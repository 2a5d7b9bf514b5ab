"""Asking one host whether it holds a group."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from worker.host import HostClient
from worker.operation.answer import ProbeAnswer, Probed
from worker.operation.errors import HostUnavailable
from worker.operation.host import Host
from worker.operation.model import GroupId, Presence
from worker.settings import Settings


def ask(host: Host, group: GroupId, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Tell whether the host holds the group, by at most `max_misses` GETs, none begun after `call_timeout`.

    Raises HostUnavailable if none of them brought a usable answer.
    """
    client = HostClient(host, settings)
    ends = time.monotonic() + settings.call_timeout
    tries = 0
    while True:
        answer = client.probe(group)
        tries += 1
        held = _holds(answer)
        if held is not None:
            return held
        pause = settings.forward_backoff.delay(tries, random.random())
        final = answer.probed is Probed.MISCONFIGURED or tries == settings.max_misses
        if final or time.monotonic() + pause >= ends:
            asked = "once" if tries == 1 else f"{tries} times"
            raise HostUnavailable(
                f'host "{host.name}" gave no usable answer ({answer.text}), asked {asked}: '
                "see whether it is up, and its URL in the inventory"
            )
        sleep(pause)


def _holds(answer: ProbeAnswer) -> bool | None:
    if answer.probed is Probed.OVERSIZED:
        return True
    return answer.seen.presence is Presence.PRESENT if answer.seen else None
