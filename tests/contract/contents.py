"""An operation on a thing with content, with what most tests do not care about filled in."""

from __future__ import annotations

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import (
    Action,
    AttemptId,
    GroupId,
    HostName,
    HostRef,
    OperationId,
    Step,
)
from lockstep.worker.operation.thing import (
    ABSENT,
    Asked,
    Digest,
    Look,
    Restored,
    Shows,
    Trace,
)
from lockstep.worker.operation.transitions import Accepted, Busy, Cancelled, Forward, Progress, Request
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import LONG

A, B = HostName("a"), HostName("b")
THING = GroupId("vhost/team-a")


def look(
    digest: str, shows: Shows = Shows.OTHER, barred: str = "", like: tuple[str, ...] | None = None
) -> Look:
    return Look(Digest(digest), shows, "" if digest == ABSENT else f"text of {digest}", barred, like)


OLD, TARGET, REWRITTEN = look("old"), look("target", Shows.TARGET), look("rewritten", Shows.LIKE)
FOREIGN, GONE = look("foreign"), look(ABSENT)


class Thing:
    """An operation on a thing with content."""

    def __init__(
        self, bench: Bench, *, secret: bool = False, once: bool = False, name: str = "one", settle: int = 0
    ) -> None:
        self.bench, self.store, self.id = bench, bench.store, OperationId(name)
        texts = {"target": "text of target", "definition": "a kind", "secret": "sealed"}
        self.asked = Asked(
            "set", "vhost", "d1", Digest("target"), "vhost/team-a", secret, once, settle=settle, texts=texts
        )

    def accept(
        self, hosts: tuple[HostName, ...] = (A, B), retries: int | None = 2
    ) -> Accepted | Busy | object:
        refs = tuple(HostRef(host, f"url-of-{host}") for host in hosts)
        return self.store.accept(
            Request(self.id, THING, Action.CREATE, refs, LONG, "a test", retries, content=self.asked)
        )

    def accepted(self, *hosts: HostName, retries: int | None = 2) -> Thing:
        assert self.accept(hosts or (A, B), retries) is Accepted.ACCEPTED
        return self

    def shown(self, host: HostName, attempt: str, what: Look) -> Progress:
        return self.store.shown(
            self.id, host, f"url-of-{host}", what, AttemptId(attempt), Action.CREATE, THING
        )

    def wrote(self, host: HostName, attempt: str, effect: Effect) -> Progress:
        return self.store.wrote(self.id, host, AttemptId(attempt), effect, "204")

    def written(self, host: HostName, effect: Effect = Effect.APPLIED, before: Look = OLD) -> Thing:
        assert self.shown(host, f"{host}1", before).next is Forward.SEND
        self.wrote(host, f"{host}1", effect)
        return self

    def roll_back(self) -> Thing:
        assert self.store.cancel(self.id, "somebody") is Cancelled.CANCELLED
        return self

    def restoring(
        self, host: HostName, what: Look, attempt: str = "u1", opened: int | None = None
    ) -> Restored:
        before = len(self.step(host).open_attempts) if opened is None else opened
        return self.store.restoring(
            self.id, host, f"url-of-{host}", self.bench.now(), before, what, AttemptId(attempt)
        )

    def step(self, host: HostName) -> Step:
        return next(step for step in self.store.steps(self.id) if step.host == host)

    def trace(self, host: HostName) -> Trace:
        return self.step(host).trace or Trace()

    def settled(self, host: HostName, what: Look) -> None:
        """Close what is open by two looks; one more has nothing open before it."""
        for _ in range(3):
            self.bench.pass_time(LIMITS.send_within + LIMITS.call + LIMITS.settle)
            self.restoring(host, what, "never")
