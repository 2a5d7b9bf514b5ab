"""A group of the probe's own on one host: made, left late, and removed."""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lockstep.producer import looks
from lockstep.producer.doctor import Finding, Level
from lockstep.producer.operators.hosts import look_at_group, reached
from lockstep.worker.hosts.client import HostClient, SystemClock
from lockstep.worker.operation.answer import HttpRequest, LookAnswer, NoReply, Trouble, in_time
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId, Presence
from lockstep.worker.settings import Settings


def send_and_leave(host: Host, settings: Settings, body: bytes, hold: float) -> float:
    """POST a body to the host's groups, and leave `hold` seconds after its last byte, or once it is answered.

    Returns when the connection was closed, by `time.monotonic`. Raises OSError if nothing could be sent.
    """
    client = HostClient(host, settings.but(read_timeout=max(hold, AT_ONCE)), looks.exchange)
    said = client.ask(HttpRequest("POST", "/v1/group/", {"Content-Type": "application/json"}, body))
    if isinstance(said, NoReply) and said.trouble is Trouble.NOT_SENT:
        raise OSError(said.detail)
    return time.monotonic()


AT_ONCE = 0.001
"""Seconds: to requests no time at all is no timeout."""
PREFIX = "lockstep-probe-"
PERSISTENCE = 20
"""Tries to delete a scratch group: enough for a host that fails half of its calls."""
CREATIONS = 3
"""Writes that bring a group about, before the host counts as one that gives no usable answer."""
PAUSE = 0.1
"""Seconds between those tries, growing with each."""


class NoUsableAnswer(Exception):
    """The host gave no usable answer; it may give one another time."""


@dataclass(slots=True)
class Scratch:
    """One host and what was written to it."""

    host: Host
    settings: Settings
    lag: float = 0.0
    """Seconds after which a GET showed what had been answered with success, at the longest."""
    written: dict[GroupId, bool] = field(default_factory=dict)
    """Of each group whether it is known what became of its creation."""

    def clear(self) -> list[GroupId]:
        """Delete what was written; return the groups that are there, or may be, after all tries."""
        time.sleep(self.lag)  # what was written last must show before its absence tells anything
        return [group for group in self.written if not self._delete(group)]

    def new_group(self) -> GroupId:
        return GroupId(f"{PREFIX}{secrets.token_hex(8)}")

    def present_group(self) -> GroupId:
        """Return a group that the host has shown to hold. Raises NoUsableAnswer."""
        group, said = self.new_group(), ""
        for _ in range(CREATIONS):
            answer = self.post(group)
            said = answer.text
            if answer.effect is Effect.APPLIED and self.lag:
                self.shown_after(group, Presence.PRESENT)
            if self.get(group).presence is Presence.PRESENT:
                return group
        raise NoUsableAnswer(said)

    def look(self, group: GroupId) -> LookAnswer:
        """GET the group. Raises NoUsableAnswer."""
        answer = self.get(group)
        if answer.presence is None:
            raise NoUsableAnswer(answer.text)
        return answer

    def shown_after(self, group: GroupId, wanted: Presence) -> float | None:
        """Return the seconds until a GET shows it, 0 for the first; None after `settle_seconds`."""
        began = time.monotonic()
        first = True
        while self.look(group).presence is not wanted:
            if time.monotonic() - began > self.settings.settle_seconds:
                return None
            first = False
            time.sleep(PAUSE)
        took = 0.0 if first else time.monotonic() - began
        self.lag = max(self.lag, took)
        return took

    def content(self, group: GroupId) -> dict[str, object]:
        """Return what GET shows of a group. Raises NoUsableAnswer, also if it is not there."""
        answer = self.get(group)
        if answer.seen is None or answer.seen.body is None:
            raise NoUsableAnswer(answer.text)
        found: dict[str, object] = json.loads(answer.seen.body)
        return found

    def get(self, group: GroupId) -> LookAnswer:
        """GET the group, again while nothing usable comes back."""
        answer, _ = look_at_group(self.host, group, self.settings)
        if group in self.written and answer.presence is Presence.PRESENT:
            self.written[group] = True
        return answer

    def post(self, group: GroupId, body: str | None = None) -> WriteAnswer:
        """POST the group, with this body or its id alone."""
        self.written.setdefault(group, False)
        answer = self._write(Action.CREATE, group, body)
        if answer.effect is not Effect.UNKNOWN:
            self.written[group] = True
        return answer

    def delete(self, group: GroupId) -> WriteAnswer:
        return self._write(Action.DELETE, group)

    def _write(self, action: Action, group: GroupId, body: str | None = None) -> WriteAnswer:
        attempt = AttemptId(f"probe-{secrets.token_hex(8)}")
        may_send = in_time(SystemClock(), self.settings.send_within)
        return reached(self.host, self.settings).write(action, group, attempt, may_send, body)

    def _delete(self, group: GroupId) -> bool:
        """Delete until the host shows that it is gone; False if it never does."""
        for attempt in range(PERSISTENCE):
            shown = self.get(group).presence
            if shown is Presence.ABSENT:
                return True
            if shown is Presence.PRESENT and self.delete(group).effect is Effect.REFUSED:
                return False
            if shown is None or self.lag:
                time.sleep(max(PAUSE * attempt, self.lag))
        return False


HOLDS = (0.0, 0.1, 1.0)
"""Seconds for which the client stays after its last byte: it leaves before, or while, a host works on it."""
EACH = 3
"""Writes per stay; what a host does once it may not do always."""
MARGIN = 3
"""A handful of writes does not show the latest there can be."""
LOOK = 0.05
"""Seconds between two GETs at first, growing to a second."""


@dataclass(frozen=True, slots=True)
class LateWrite:
    stayed: float
    """Seconds after its last byte for which its client waits for an answer."""
    landed: float | None
    """Seconds after the end of the connection by which a GET showed it; None if none did."""
    trouble: str | None = None
    """Why it could not be sent."""


def measure(scratch: Scratch, watch: float) -> list[LateWrite]:
    """Send writes, leave, and GET each for up to `watch` seconds until it shows. All at the same time."""
    stays = [hold for hold in HOLDS for _ in range(EACH)]
    stopped = threading.Event()
    with ThreadPoolExecutor(len(stays), thread_name_prefix="lockstep") as pool:
        try:
            return list(pool.map(lambda hold: _one(scratch, hold, watch, stopped), stays))
        finally:
            stopped.set()  # an interrupt waits for nothing


def _one(scratch: Scratch, hold: float, watch: float, stopped: threading.Event) -> LateWrite:
    group = scratch.new_group()
    scratch.written[group] = False
    try:
        body = json.dumps({"groupId": group}).encode()
        left = send_and_leave(scratch.host, scratch.settings, body, hold)
    except OSError as error:
        return LateWrite(hold, None, str(error))
    pause = LOOK
    while True:
        shown = scratch.get(group).presence
        passed = time.monotonic() - left
        if shown is Presence.PRESENT:
            return LateWrite(hold, passed)
        if passed >= watch or stopped.wait(min(pause, watch - passed)):
            return LateWrite(hold, None)
        pause = min(1.0, pause * 1.5)


def recommended(writes: Iterable[LateWrite], settings: Settings) -> int:
    """Return the smallest `settle_seconds` that these writes speak for."""
    latest = max((write.landed for write in writes if write.landed is not None), default=0.0)
    return math.ceil(max(settings.read_timeout, MARGIN * latest))


def on_late_writes(writes: list[LateWrite], watch: float, settings: Settings) -> Iterator[Finding]:
    """Judge the writes, and `settle_seconds` by them."""
    subject = "late writes"
    unsent = [write for write in writes if write.trouble is not None]
    sent = len(writes) - len(unsent)
    if not sent:
        text = f"none could be sent: {unsent[0].trouble}"
        yield Finding(subject, Level.FAILURE, text, "see whether the host is up, and its URL")
        return
    landed = sorted(write.landed for write in writes if write.landed is not None)
    if landed:
        text = f"{len(landed)} of {sent} took effect, the last {landed[-1]:.1f} s after its client had left"
        yield Finding(subject, Level.OK, text)
    if missing := sent - len(landed):
        text = f"{missing} of {sent} had no effect within {watch:g} s"
        if watch < settings.settle_seconds:
            yield Finding(subject, Level.WARNING, text, f"look longer: --watch {settings.settle_seconds:g}")
        else:
            yield Finding(subject, Level.OK, f"{text}: they were given up, or take longer than this")
    subject, now, wanted = "settle_seconds", settings.settle_seconds, recommended(writes, settings)
    remedy = f"LOCKSTEP_SETTLE_SECONDS={wanted}, or more: docs/settings.md"
    if landed and now <= landed[-1]:
        text = f"{now:g} is too short: a write landed {landed[-1]:.1f} s after its client had left"
        yield Finding(subject, Level.FAILURE, text, remedy)
    elif now < wanted:
        text = f"{now:g} leaves little room: {wanted} is {MARGIN} times the latest write that was seen"
        yield Finding(subject, Level.WARNING, text, remedy)
    else:
        text = f"{now:g} is enough for what was seen; a proxy or node that may wait longer needs more"
        yield Finding(subject, Level.OK, text)
