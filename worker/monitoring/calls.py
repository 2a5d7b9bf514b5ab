"""What hosts are asked and say, logged and counted with the time that it takes."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from structlog.contextvars import bound_contextvars

from lockstep.worker.monitoring.heartbeat import work
from lockstep.worker.monitoring.metrics import count, took
from lockstep.worker.operation.answer import ProbeAnswer, Verdict, WriteAnswer
from lockstep.worker.operation.content import Effect, Said, Shown
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.operation.ports import HostApi
from lockstep.worker.operation.thing import api_of

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
        _answered("look", answer.probed.value, begun)
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
        _answered(action.value, answer.verdict.value, begun)
        return answer

    def look(self, *asked: Any) -> Shown:
        """Look at a thing."""
        begun = time.monotonic()
        shown = api_of(self.host).look(*asked)
        _answered("look", shown.sight.value, begun)
        return shown

    def send(self, kind: Any, verb: str, *asked: Any) -> Said:
        """Send a write of a thing."""
        begun = time.monotonic()
        said = api_of(self.host).send(kind, verb, *asked)
        log.log(logging.DEBUG if said.effect is Effect.APPLIED else logging.INFO, "%s: %s", verb, said.text)
        _answered(verb, said.effect.value, begun)
        return said

    def unwell(self, path: str) -> str | None:
        """Ask for its health."""
        begun = time.monotonic()
        wrong = self.host.unwell(path)
        _answered("health", "well" if wrong is None else "unwell", begun)
        return wrong


def _answered(call: str, answer: str, begun: float) -> None:
    work.moves()
    count("attempts", call, answer)
    took("call_seconds", time.monotonic() - begun, call)
