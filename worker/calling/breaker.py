"""A host that does not answer is spared for a while, so that calls to it hold up nobody.

Each worker process counts by itself, and what it learns is shared only when something has failed: while
hosts answer, a look costs one look into a dictionary and no word to Redis.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from worker.operation.answer import ProbeAnswer, Probed, WriteAnswer
from worker.operation.errors import StoreUnavailable
from worker.operation.model import Action, AttemptId, GroupId, HostName
from worker.operation.ports import HostApi
from worker.operation.spell import Spell, spared_text

log = logging.getLogger(__name__)


class Shared(Protocol):
    """What workers tell each other. Every method raises StoreUnavailable when Redis does not answer."""

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        """Begin a spell, or lengthen the one there is."""
        ...

    def left(self, host: HostName) -> tuple[Spell, int] | None:
        """Return a host's spell and the milliseconds that it lasts; None if it is not spared."""
        ...

    def answered(self, host: HostName) -> None:
        """End a host's spell."""
        ...


@dataclass(slots=True)
class _Silence:
    failures: int = 0
    why: str = ""
    spared_until: float | None = None
    asking: bool = False
    """The spell is over, and one look is on its way to see whether the host answers."""


@dataclass(slots=True)
class Breaker:
    """Which hosts this process spares. Safe to share between threads."""

    most: int
    """Looks in a row that bring no answer at all, after which a host is spared."""
    seconds: float
    elapsed: Callable[[], float]
    shared: Shared
    _silent: dict[HostName, _Silence] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def refusal(self, host: HostName) -> str | None:
        """Say why the host is not to be asked now. Whoever hears None has to tell what came of asking."""
        known = self._silent.get(host)
        if known is None:
            return None
        with self._lock:
            if known.spared_until is None:
                return None
            left = known.spared_until - self.elapsed()
            if left <= 0 and not known.asking:
                known.asking = True
                return None
            return f"not sent: {spared_text(left, known.failures, known.why)}"

    def answered(self, host: HostName) -> None:
        """The host answered, whatever it said: it is spared no longer."""
        if host not in self._silent:
            return
        with self._lock:
            known = self._silent.pop(host, None)
        if known is not None and known.spared_until is not None:
            log.info("host %s answers again", host)
            with contextlib.suppress(StoreUnavailable):  # it ends by itself
                self.shared.answered(host)

    def failed(self, host: HostName, why: str) -> None:
        """No answer came from the host."""
        with self._lock:
            known = self._silent.setdefault(host, _Silence())
            if known.spared_until is not None and not known.asking:
                return  # it was asked before it was spared
            known.failures += 1
            known.why = why
            spares = known.asking or known.failures >= self.most
            if spares:
                known.spared_until, known.asking = self.elapsed() + self.seconds, False
            failures = known.failures
        if spares:
            log.warning("host %s is %s", host, spared_text(self.seconds, failures, why))
        with contextlib.suppress(StoreUnavailable):  # the step is about to find out by itself
            if spares:
                self.shared.spare(host, round(self.seconds * 1000), failures, why)
            else:
                self._learn(host)

    def not_asked(self, host: HostName) -> None:
        """The look did not take place; the next one may."""
        with self._lock:
            known = self._silent.get(host)
            if known is not None:
                known.asking = False

    def _learn(self, host: HostName) -> None:
        """Spare a host that another worker spares."""
        found = self.shared.left(host)
        if found is None:
            return
        spell, left = found
        with self._lock:
            known = self._silent.get(host)
            if known is not None and known.spared_until is None:
                known.spared_until = self.elapsed() + left / 1000
                known.failures, known.why = spell.failures, spell.why


@dataclass(frozen=True, slots=True)
class Spared:
    """The same host for forward steps: a look at it is a miss, without a call, while it is spared.

    Never for what undoes, settles or patrols: those ask a host for ever, at their own pace.
    """

    host: HostApi
    name: HostName
    breaker: Breaker

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group, unless the host is spared."""
        refusal = self.breaker.refusal(self.name)
        if refusal is not None:
            return ProbeAnswer(Probed.NO_INFORMATION, refusal, usable=False)  # it has long been silent
        try:
            answer = self.host.probe(group)
        except BaseException:
            self.breaker.not_asked(self.name)
            raise
        if answer.replied:
            self.breaker.answered(self.name)
        else:
            self.breaker.failed(self.name, answer.text)
        return answer

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group: it was looked at just now."""
        return self.host.write(action, group, attempt, send_before, body)
