"""An operation on a thing with content, with what most tests do not care about filled in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply, Trouble
from lockstep.worker.operation.content import Effect, Id, Shown, WriteAnswer
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, HostRef, OperationId, Step
from lockstep.worker.operation.thing import ABSENT, Digest, Likeness, ThingLook, ThingRequest, Trace
from lockstep.worker.operation.transitions import Accepted, Busy, Forward, Progress, Request
from tests.contract.bench import LIMITS, Bench
from tests.contract.driver import LONG

A, B = HostName("a"), HostName("b")
THING = GroupId("vhost/team-a")


def look(
    digest: str, shows: Likeness = Likeness.OTHER, barred: str = "", like: tuple[str, ...] | None = None
) -> ThingLook:
    return ThingLook(Digest(digest), shows, "" if digest == ABSENT else f"text of {digest}", barred, like)


OLD, TARGET, REWRITTEN = look("old"), look("target", Likeness.TARGET), look("rewritten", Likeness.LIKE)
FOREIGN, GONE = look("foreign"), look(ABSENT)


class Thing:
    """An operation on a thing with content."""

    def __init__(
        self, bench: Bench, *, secret: bool = False, once: bool = False, name: str = "one", settle: int = 0
    ) -> None:
        self.bench, self.store, self.id = bench, bench.store, OperationId(name)
        texts = {"target": "text of target", "definition": "a kind", "secret": "sealed"}
        about = "set", "vhost", "d1", Digest("target"), "vhost/team-a"
        self.asked = ThingRequest(*about, secret=secret, once=once, upsert=False, settle=settle, texts=texts)

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

    def shown(self, host: HostName, attempt: str, what: ThingLook) -> Progress:
        return self.store.shown(
            self.id, host, f"url-of-{host}", what, AttemptId(attempt), Action.CREATE, THING
        )

    def wrote(self, host: HostName, attempt: str, effect: Effect) -> Progress:
        return self.store.finish(self.id, host, AttemptId(attempt), effect, "204")

    def written(self, host: HostName, effect: Effect = Effect.APPLIED, before: ThingLook = OLD) -> Thing:
        assert self.shown(host, f"{host}1", before).next is Forward.SEND
        self.wrote(host, f"{host}1", effect)
        return self

    def roll_back(self) -> Thing:
        assert self.store.cancel(self.id, "somebody") is None
        return self

    def restore(
        self, host: HostName, what: ThingLook, attempt: str = "u1", opened: int | None = None
    ) -> Progress:
        before = len(self.step(host).open_attempts) if opened is None else opened
        return self.store.restore(
            self.id, host, f"url-of-{host}", self.bench.now(), before, what, AttemptId(attempt)
        )

    def step(self, host: HostName) -> Step:
        return next(step for step in self.store.steps(self.id) if step.host == host)

    def trace(self, host: HostName) -> Trace:
        return self.step(host).trace or Trace()

    def settled(self, host: HostName, what: ThingLook) -> None:
        """Close what is open by two looks; one more has nothing open before it."""
        for _ in range(3):
            self.bench.pass_time(LIMITS.send_within + LIMITS.call + LIMITS.settle)
            self.restore(host, what, "never")


class Node:
    """A host that keeps records, and does to writes what it is told to."""

    def __init__(self, name: str, holds: dict[str, Any] | None = None) -> None:
        self.fingerprint = f"url-of-{name}"
        self.holds = holds
        self.manners: list[str] = []
        """Of the next writes: refuse, ignore, lose, late."""
        self.rewrites = False
        self.merges = False
        """What a write does not name stays."""
        self.before_write: list[dict[str, Any] | None] = []
        """What a third hand makes of it before the next writes."""
        self.writes: list[tuple[str, Any]] = []

    def look_at_thing(self, kind: Kind, thing: Id) -> Shown:
        request = kind.request("look", thing)
        assert request.path == "/records/www"
        body = json.dumps(self.holds).encode()
        return kind.shown(thing, Reply(404) if self.holds is None else Reply(200, body))

    def send(
        self,
        kind: Kind,
        verb: Any,
        thing: Id,
        request: HttpRequest,
        attempt: AttemptId,
        may_send: MaySend,
        hidden: Iterable[str] = (),
    ) -> WriteAnswer:
        return kind.said(verb, thing, self.answer(request), hidden)

    def answer(self, request: HttpRequest) -> Reply | NoReply:
        if self.before_write:
            self.holds = self.before_write.pop(0)
        manner = self.manners.pop(0) if self.manners else ""
        body = json.loads(request.body) if request.body else None
        self.writes.append((request.method, body))
        if manner == "refuse":
            return Reply(403)
        was = self.holds
        if manner not in ("ignore", "lose"):
            kept = was if self.merges and was else {}
            self.holds = None if request.method == "DELETE" else {**kept, **(body or {})}
            if self.rewrites and self.holds is not None:
                self.holds = {**self.holds, "values": [each.upper() for each in self.holds["values"]]}
        if manner in ("lose", "late"):
            return NoReply(Trouble.LOST, "read timeout")
        if request.method == "DELETE":
            return Reply(404 if was is None else 204)
        return Reply(201 if was is None else 204)
