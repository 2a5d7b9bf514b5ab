"""What stands between a step and a host: a breaker that spares a silent one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from lockstep.worker.operation.answer import HostApi, LookAnswer, LookVerdict
from lockstep.worker.operation.content import Flaw, Shown, Sight, WriteAnswer
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.host import Silence, spared_text
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName
from lockstep.worker.process.forks import renew_in_children

A = TypeVar("A", LookAnswer, Shown)
T = TypeVar("T")
ALONE = 5.0
"""Seconds for which a Redis that did not answer is not asked about other hosts."""


@dataclass(frozen=True, slots=True)
class WrappedHost:
    """The same host; what wraps it says what is otherwise."""

    host: HostApi

    @property
    def fingerprint(self) -> str:
        return self.host.fingerprint

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return self._look(
            lambda: self.host.look_at_group(group),
            lambda why: LookAnswer(LookVerdict.NO_INFORMATION, why, flaw=Flaw.SILENT),
        )

    def write(self, action: Action, group: GroupId, attempt: AttemptId, *asked: Any) -> WriteAnswer:
        ask = partial(self.host.write, action, group, attempt, *asked)
        return self._write(action, attempt, ask)

    def look_at_thing(self, *asked: Any) -> Shown:
        return self._look(
            lambda: self.host.look_at_thing(*asked),
            lambda why: Shown(Sight.NOTHING, text=why, flaw=Flaw.SILENT),
        )

    def send(
        self, kind: Any, verb: str, thing: Any, request: Any, attempt: AttemptId, *asked: Any
    ) -> WriteAnswer:
        ask = partial(self.host.send, kind, verb, thing, request, attempt, *asked)
        return self._write(verb, attempt, ask)

    def unwell(self, path: str) -> str | None:
        return self.host.unwell(path)

    def _look(self, ask: Callable[[], A], miss: Callable[[str], A]) -> A:
        return ask()

    def _write(self, call: str, attempt: AttemptId, ask: Callable[[], WriteAnswer]) -> WriteAnswer:
        return ask()


log = logging.getLogger(__name__)


class SharedSilences(Protocol):
    """What workers tell each other. Every method raises StoreUnavailable when Redis does not answer."""

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        """Begin a silence, or lengthen the one there is."""

    def left(self, host: HostName) -> tuple[Silence, int] | None:
        """Return a host's silence and the milliseconds that it lasts; None if it is not spared."""

    def answered(self, host: HostName) -> None:
        """End a host's silence."""


@dataclass(slots=True)
class _Silence:
    failures: int = 0
    why: str = ""
    spared_until: float | None = None
    asking: bool = False
    """The silence is over, and one look is on its way to see whether the host answers."""
    address: str = ""
    """Fingerprint of the URL that was silent: at another one the host is another host."""


@dataclass(slots=True, weakref_slot=True)
class Breaker:
    """Which hosts this process spares. Safe to share between threads."""

    most: int
    """Looks in a row that bring no answer at all, after which a host is spared."""
    seconds: float
    elapsed: Callable[[], float]
    shared: SharedSilences
    _silent: dict[HostName, _Silence] = field(default_factory=dict, init=False)
    _alone_until: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(init=False)
    _telling: threading.Lock = field(init=False)

    def __post_init__(self) -> None:
        self.start_anew()
        renew_in_children(self)

    def start_anew(self) -> None:
        self._lock, self._telling = threading.Lock(), threading.Lock()

    def refusal(self, host: HostName, address: str = "") -> str | None:
        """Say why the host is not to be asked now. After None the caller must tell what came of asking."""
        known = self._silent.get(host)
        if known is None:
            return None
        with self._lock:
            if known.address != address:
                self._silent.pop(host, None)
                return None
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
            ended = known is not None and known.spared_until is not None
            if ended:
                log.info("host %s answers again", host)
        if ended:
            self._tell(host)

    def failed(self, host: HostName, why: str, address: str = "") -> None:
        with self._lock:
            known = self._silent.setdefault(host, _Silence(address=address))
            if known.spared_until is not None and not known.asking:
                return  # it was asked before it was spared
            known.failures += 1
            known.why = why
            spares = known.asking or known.failures >= self.most
            if spares:
                known.spared_until, known.asking = self.elapsed() + self.seconds, False
                log.warning("host %s is %s", host, spared_text(self.seconds, known.failures, why))
        if spares:
            self._tell(host)
        else:
            self._learn(host, known)

    def not_asked(self, host: HostName) -> None:
        """The look did not take place; the next one may."""
        with self._lock:
            if (known := self._silent.get(host)) is not None:
                known.asking = False

    def _tell(self, host: HostName) -> None:
        """Tell the others how the host stands now, one thread after the other: the last has the newest."""
        with self._telling:
            with self._lock:
                known = self._silent.get(host) or _Silence()
                until, failures, why = known.spared_until, known.failures, known.why
            if until is None:
                self._with_others(lambda: self.shared.answered(host))
            else:
                left = round((until - self.elapsed()) * 1000)
                self._with_others(lambda: self.shared.spare(host, left, failures, why))

    def _with_others(self, ask: Callable[[], T]) -> T | None:
        """Tell the others, or ask them; None where Redis does not answer, or did not within the last seconds.

        The step is about to find that out by itself. Steps by turns would wait for it one after the other.
        """
        if self.elapsed() < self._alone_until:
            return None
        try:
            return ask()
        except StoreUnavailable:
            self._alone_until = self.elapsed() + ALONE
            return None

    def _learn(self, host: HostName, known: _Silence) -> None:
        """Spare a host that another worker spares, unless it has answered meanwhile."""
        found = self._with_others(lambda: self.shared.left(host))
        if found is None:
            return
        silence, left = found
        with self._lock:
            if self._silent.get(host) is known and known.spared_until is None:
                known.spared_until = self.elapsed() + left / 1000
                known.failures, known.why = silence.failures, silence.why


@dataclass(frozen=True, slots=True)
class BreakerHost(WrappedHost):
    """The same host for forward steps: a look at it is a miss, without a call, while it is spared.

    Never for what undoes, settles or patrols: those ask a host for ever, at their own pace.
    """

    name: HostName
    breaker: Breaker

    def _look(self, ask: Callable[[], A], miss: Callable[[str], A]) -> A:
        try:
            refusal = self.breaker.refusal(self.name, self.fingerprint)
            if refusal is not None:
                return miss(refusal)
            said = ask()
            if said.flaw is Flaw.SILENT:
                self.breaker.failed(self.name, said.text, self.fingerprint)
            else:
                self.breaker.answered(self.name)
        except BaseException:
            self.breaker.not_asked(self.name)
            raise
        return said
