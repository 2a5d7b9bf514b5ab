"""Asking hosts what they hold, one or many at once."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from lockstep.worker.operation.answer import HostApi, LookAnswer, LookVerdict
from lockstep.worker.operation.content import Flaw, Shown, Sight
from lockstep.worker.operation.drift import Drift
from lockstep.worker.operation.errors import HostPaused, HostUnavailable, NotReady
from lockstep.worker.operation.host import Host, Pause, Silence, refusal
from lockstep.worker.operation.model import GroupId, HostName, Presence
from lockstep.worker.operation.names import alike, named
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings

if TYPE_CHECKING:
    from lockstep.worker.kinds.kind import Kind
    from lockstep.worker.operation.content import Id

AT_ONCE = 32
"""Hosts asked at the same time: the work is waiting, and a host that hangs holds up no more than its slot."""

LOOK_UP = 1.0
"""Seconds after which a wait looks whether it was interrupted, or stopped."""
LOOKS = 5
"""GETs at most, so that the caller hears soon."""

T = TypeVar("T")
R = TypeVar("R")


Named = GroupId | tuple["Kind", "Id"]
"""A group, or a thing: its kind and its id."""


def ask(host: Host, of: Named, settings: Settings) -> bool:
    """Tell whether the host holds a group or a thing, by at most LOOKS GETs.

    None is begun that would not be over within `call_timeout` if it took as long as the last, so that by the
    default settings a host that is silent is asked once.

    Raises HostUnavailable if none of them brought a usable answer.
    """
    held, text, tries = presence(host, of, settings)
    if held is None:
        asked = "once" if tries == 1 else f"{tries} times"
        raise HostUnavailable(
            f'host "{host.name}" gave no usable answer ({text}), asked {asked}: '
            "see whether it is up, and its URL in the inventory"
        )
    return held is Presence.PRESENT


def presence(host: Host, of: Named, settings: Settings) -> tuple[Presence | None, str, int]:
    """Ask as `ask` does; return what the host holds, None without a usable answer; the answer, and GETs."""
    if isinstance(of, str):
        answer, tries = look_at_group(host, of, settings)
        return answer.presence, answer.text, tries
    shown, tries = look_at_thing(host, *of, settings)
    return presence_of(shown), shown.text, tries


def presence_of(shown: Shown) -> Presence | None:
    """Return what a look at a thing showed; None if it told nothing."""
    if shown.sight in (Sight.BUSY, Sight.NOTHING):
        return None
    return Presence.ABSENT if shown.sight is Sight.ABSENT else Presence.PRESENT


def look_at_thing(host: Host, kind: Kind, thing: Id, settings: Settings) -> tuple[Shown, int]:
    """Look at a thing as `ask` does; return the first usable look, else the last, and how many it took."""
    return _asked(
        host,
        settings,
        lambda api: api.look_at_thing(kind, thing),
        lambda shown: shown.flaw is Flaw.MISCONFIGURED or presence_of(shown) is not None,
    )


def look_at_group(host: Host, group: GroupId, settings: Settings) -> tuple[LookAnswer, int]:
    """Ask as `ask` does; return the first usable answer, else the last, and how many GETs it took."""
    return _asked(
        host,
        settings,
        lambda api: api.look_at_group(group),
        lambda said: said.verdict is not LookVerdict.NO_INFORMATION,
    )


def reached(host: Host, settings: Settings) -> HostApi:
    """Return a host as commands ask it: over requests, and with the token that it has just then."""
    from lockstep.producer.looks import exchange  # what speaks HTTP is slow to import
    from lockstep.worker.hosts.client import HostClient

    return HostClient(host, settings, exchange)


def _asked(
    host: Host, settings: Settings, call: Callable[[HostApi], T], final: Callable[[T], bool]
) -> tuple[T, int]:
    client = reached(host, settings)
    ends = time.monotonic() + settings.call_timeout
    tries = 0
    while True:
        began = time.monotonic()
        answer = call(client)
        tries += 1
        pause = settings.forward_backoff.delay(tries, random.random())
        took = time.monotonic() - began
        if final(answer) or tries == LOOKS or time.monotonic() + pause + took >= ends:
            return answer, tries
        time.sleep(pause)


def together(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call the function for every item, AT_ONCE at a time; return what it gave, in the items' order."""
    return [result for _, result in sorted(as_they_come(function, items), key=itemgetter(0))]


def as_they_come(
    function: Callable[[T], R],
    items: Iterable[T],
    at_once: int = AT_ONCE,
    stopped: threading.Event | None = None,
    grace: float = 0.0,
) -> Generator[tuple[int, R]]:
    """Call the function for every item, some at a time; yield its number and what it gave, as that comes.

    What one raises is raised. Closing sets `stopped`, begins no more, and waits for what is under way `grace`
    seconds at most.
    """
    over = stopped or threading.Event()
    left = deque((number, item, copy_context()) for number, item in enumerate(items))
    came: SimpleQueue[tuple[int, Future[R]]] = SimpleQueue()

    def work() -> None:
        with suppress(IndexError):  # nothing is left
            while not over.is_set():
                number, item, own = left.popleft()
                result = Future[R]()
                try:
                    result.set_result(own.run(function, item))  # what is noted there is noted here
                except BaseException as error:  # noqa: BLE001 - raised where it is iterated
                    result.set_exception(error)
                came.put((number, result))

    many = len(left)
    # No pool: a process would wait for its threads before it ends, however long what they ask keeps them.
    threads = [threading.Thread(target=work, name="lockstep", daemon=True) for _ in range(min(at_once, many))]
    try:
        for thread in threads:
            thread.start()
        for _ in range(many):
            number, result = _next(came)
            yield number, result.result()
    finally:
        over.set()
        ends = time.monotonic() + grace
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, ends - time.monotonic()))


def _next(came: SimpleQueue[T]) -> T:
    """Wait for what comes next. Python hears a Ctrl-C that comes just before a wait only after it."""
    while True:
        with suppress(Empty):
            return came.get(timeout=LOOK_UP)


NO_GROUP = GroupId("lockstep-hosts")
"""Asked for with a GET; it need not exist."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    host: HostName
    url: str
    labels: Mapping[str, str]
    answering: bool
    said: str
    """What it said to a GET, in a few words, or why nothing came back."""
    pause: Pause | None
    silence: Silence | None
    """Workers spare it, for it does not answer."""
    spared_for: int
    """Milliseconds that this lasts."""
    drifts: tuple[Drift, ...]
    """What the patrol found there, and has not seen gone since."""


def host_statuses(link: Link, hosts: Sequence[Host], settings: Settings) -> tuple[HostStatus, ...]:
    """Ask every host, and read what the record has of it. Raises StoreUnavailable."""
    pauses, silences = link.pauses.all(), link.silences.all()
    drifts = dict(alike((drift, drift.host) for drift in link.store.drifts()))

    def status(host: Host) -> HostStatus:
        answer, _ = look_at_group(host, NO_GROUP, settings)
        silence, left = silences.get(host.name, (None, 0))
        return HostStatus(
            host=host.name,
            url=host.url,
            labels=host.labels,
            answering=answer.presence is not None,
            said=answer.text,
            pause=pauses.get(host.name),
            silence=silence,
            spared_for=left,
            drifts=tuple(drifts.get(host.name, ())),
        )

    return tuple(together(status, hosts))


def preflight(hosts: Sequence[Host], of: Named, settings: Settings, pauses: Mapping[HostName, Pause]) -> None:
    """Raise HostPaused, as accepting would, or NotReady, naming hosts that give no usable answer."""
    if needed := [pauses[host.name] for host in hosts if host.name in pauses]:
        raise HostPaused(refusal(needed[0], len(needed) - 1))

    def silence(host: Host) -> str | None:
        held, text, _ = presence(host, of, settings)
        return f"{host.name} ({text})" if held is None else None

    if silent := [each for each in together(silence, hosts) if each is not None]:
        raise NotReady(f"nothing was written, for the preflight got no usable answer from {named(silent)}")
