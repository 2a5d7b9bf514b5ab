"""A host's API that counts and logs its calls."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from structlog.contextvars import bound_contextvars

from lockstep.worker.monitoring.heartbeat import work
from lockstep.worker.monitoring.metrics import call_answered
from lockstep.worker.operation.answer import ProbeAnswer, Verdict, WriteAnswer
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.operation.ports import HostApi

log = logging.getLogger(__name__)
LEVELS = {Verdict.APPLIED: logging.DEBUG}
"""What went as it should is in the record; a line for each of ten thousand hosts would hide the others."""


@dataclass(frozen=True, slots=True)
class WatchedHost:
    """The same host; what it says is logged, and counted with the time it takes."""

    host: HostApi

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group."""
        begun = time.monotonic()
        answer = self.host.probe(group)
        work.moves()
        call_answered("look", answer.probed.value, time.monotonic() - begun)
        log.debug("look: %s", answer.text)
        return answer

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group."""
        begun = time.monotonic()
        with bound_contextvars(attempt=attempt):
            answer = self.host.write(action, group, attempt, send_before, body)
            log.log(LEVELS.get(answer.verdict, logging.INFO), "%s: %s", action.value, answer.text)
        work.moves()
        call_answered(action.value, answer.verdict.value, time.monotonic() - begun)
        return answer
