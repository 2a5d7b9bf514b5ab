"""A host's API that counts its calls."""

from __future__ import annotations

import time
from dataclasses import dataclass

from worker.operation.answer import ProbeAnswer, WriteAnswer
from worker.operation.model import Action, AttemptId, GroupId
from worker.operation.ports import HostApi
from worker.telemetry.metrics import call_answered


@dataclass(frozen=True, slots=True)
class CountedHost:
    """The same host; what it said and how long it took is counted."""

    host: HostApi

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group."""
        begun = time.monotonic()
        answer = self.host.probe(group)
        call_answered("look", answer.probed.value, time.monotonic() - begun)
        return answer

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group."""
        begun = time.monotonic()
        answer = self.host.write(action, group, attempt, send_before, body)
        call_answered(action.value, answer.wrote.value, time.monotonic() - begun)
        return answer
