"""Groups of our own on one host, for finding out how it behaves; all are deleted again."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from types import TracebackType

from lockstep.producer.asking import holds, probe
from lockstep.producer.leaving import send_and_leave
from lockstep.worker.host import HostClient
from lockstep.worker.operation.answer import ProbeAnswer, WriteAnswer, Wrote
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId, Presence
from lockstep.worker.settings import Settings

PREFIX = "lockstep-probe-"
PERSISTENCE = 20
"""Tries to delete a scratch group: a host that fails half of its calls is clean after so many."""
CREATIONS = 3
"""Writes that bring a group about, before the host counts as one that gives no usable answer."""
PAUSE = 0.1
"""Seconds between those tries, growing with each."""


class Unclear(Exception):
    """The host gave no usable answer; it may give one another time."""


@dataclass(slots=True)
class Scratch:
    """One host and what was written to it; on leaving the context that is deleted, or `left` names it."""

    host: Host
    settings: Settings
    left: list[GroupId] = field(default_factory=list)
    """Groups that are there, or may be, after all tries to delete them."""
    unseen: list[GroupId] = field(default_factory=list)
    """Groups whose creation was asked for and never seen: it may still take effect."""
    lag: float = 0.0
    """Seconds after which a GET showed what had been answered with success, at the longest."""
    _written: dict[GroupId, bool] = field(default_factory=dict)
    """Whether it is known what became of the group's creation."""

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        time.sleep(self.lag)  # what was written last must show before its absence tells anything
        self.left = [group for group in self._written if not self._delete(group)]
        self.unseen = [group for group, seen in self._written.items() if not seen and group not in self.left]

    @property
    def written(self) -> int:
        """How many groups were written."""
        return len(self._written)

    def new_group(self) -> GroupId:
        """Return an id that nobody else has."""
        return GroupId(f"{PREFIX}{secrets.token_hex(8)}")

    def present_group(self) -> GroupId:
        """Return a group that the host has shown to hold. Raises Unclear."""
        group, said = self.new_group(), ""
        for _ in range(CREATIONS):
            answer = self.post(group)
            said = answer.text
            if answer.wrote is Wrote.APPLIED and self.lag:
                self.shown_after(group, Presence.PRESENT)
            if holds(self.get(group)) is Presence.PRESENT:
                return group
        raise Unclear(said)

    def shows(self, group: GroupId) -> Presence:
        """Tell whether the host holds the group. Raises Unclear."""
        answer = self.get(group)
        shown = holds(answer)
        if shown is None:
            raise Unclear(answer.text)
        return shown

    def shown_after(self, group: GroupId, wanted: Presence) -> float | None:
        """Return the seconds until a GET shows what was written, 0 if the first does.

        None if none does within `settle_seconds`. Raises Unclear.
        """
        began = time.monotonic()
        first = True
        while self.shows(group) is not wanted:
            if time.monotonic() - began > self.settings.settle_seconds:
                return None
            first = False
            time.sleep(PAUSE)
        took = 0.0 if first else time.monotonic() - began
        self.lag = max(self.lag, took)
        return took

    def content(self, group: GroupId) -> dict[str, object]:
        """Return what GET shows of a group. Raises Unclear, also if it is not there."""
        answer = self.get(group)
        if answer.seen is None or answer.seen.body is None:
            raise Unclear(answer.text)
        found: dict[str, object] = json.loads(answer.seen.body)
        return found

    def get(self, group: GroupId) -> ProbeAnswer:
        """GET the group, again while nothing usable comes back."""
        answer, _ = probe(self.host, group, self.settings)
        if group in self._written and holds(answer) is Presence.PRESENT:
            self._written[group] = True
        return answer

    def post(self, group: GroupId, body: str | None = None) -> WriteAnswer:
        """POST the group, with this body or its id alone."""
        self._written.setdefault(group, False)
        answer = self._write(Action.CREATE, group, body)
        if answer.wrote is not Wrote.UNKNOWN:
            self._written[group] = True
        return answer

    def delete(self, group: GroupId) -> WriteAnswer:
        """DELETE the group."""
        return self._write(Action.DELETE, group)

    def post_and_leave(self, group: GroupId, hold: float) -> float:
        """POST the group and close the connection `hold` seconds later, unanswered.

        Returns when it was closed, by `time.monotonic`. Raises OSError if the request could not be sent.
        """
        self._written[group] = False
        return send_and_leave(self.host, self.settings, json.dumps({"groupId": group}).encode(), hold)

    def _write(self, action: Action, group: GroupId, body: str | None = None) -> WriteAnswer:
        client = HostClient(self.host, self.settings)
        attempt = AttemptId(f"probe-{secrets.token_hex(8)}")
        return client.write(action, group, attempt, client.clock.elapsed() + self.settings.send_within, body)

    def _delete(self, group: GroupId) -> bool:
        """Delete until the host shows that it is gone; False if it never does."""
        for attempt in range(PERSISTENCE):
            shown = holds(self.get(group))
            if shown is Presence.ABSENT:
                return True
            if shown is Presence.PRESENT and self.delete(group).wrote is Wrote.REFUSED:
                return False
            if shown is None or self.lag:
                time.sleep(max(PAUSE * attempt, self.lag))
        return False
