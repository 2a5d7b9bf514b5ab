"""Things with content in place of a group: nodes that hold records, and third hands that write there too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from lockstep.worker.kinds import asked_of
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import HttpRequest, NoReply, Reply
from lockstep.worker.operation.content import Content, Effect, Id, Shown, WriteAnswer
from lockstep.worker.operation.host import MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, Millis, OperationId
from lockstep.worker.operation.thing import ThingRequest
from tests.simulation.faults import Fate, Row
from tests.simulation.hosts import TELLING_NOTHING, HostPort, SimHost, Write
from tests.simulation.task import SEALS
from tests.simulation.transport import answer
from tests.simulation.world import Violation, World
from tests.twin.record import Record
from tests.unit.kinds.made import RECORD, kind_of, record

if TYPE_CHECKING:
    from tests.simulation.broker import Broker
    from tests.simulation.ledger import Ledger
    from tests.simulation.task import Run

KIND = kind_of(RECORD)
THING = KIND.parse("record/www")
GROUP = GroupId(THING.text)
VERBS = ("set", "create", "delete")
VALUES = ("a", "b", "c", None)
STRANGE = record("strange")
"""What another node shows where this one holds nothing."""
SAID = {status: answer(status) for status in (201, 204, 404)}
EVERY, LAST = 60_000, 3_000_000
"""Milliseconds between two looks of a person, and until nobody waits for an operation to begin any longer."""
CLASSIFIED: dict[tuple[str, int], WriteAnswer] = {}


class ThingHost(SimHost):
    """A node that holds one record, or none, perhaps in a form of its own."""

    def __init__(self, name: HostName, world: World, ledger: Ledger) -> None:
        self.rewrites = world.choose(4) == 1
        value = VALUES[world.choose(4)]
        super().__init__(name, world, ledger, None if value is None else self.form(record(value)))
        self.ignores = int(world.choose(8) == 1)
        """Writes to which it is to say yes, and change nothing."""
        self.thirds: list[tuple[object, int]] = []
        """What third hands have made of it, and when."""
        self.ours: dict[OperationId, int] = {}
        """When a write of an operation first took effect."""
        self.yields: set[OperationId] = set()
        """Operations of which a person has said that what stands there may be written over."""

    def port(self, run: Run, elsewhere: bool) -> HostPort:
        return ThingPort(run, self, elsewhere)

    def form(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return what it shows when it is sent this."""
        values = [each.upper() for each in content["values"]] if self.rewrites else content["values"]
        return {**content, "values": values}

    def asked(self, record: Record) -> object:
        assert record.content is not None
        text = record.texts.get(record.content.target)
        return None if text is None else self.form(dict(Content.read(text).values))

    def is_third(self, content: object) -> bool:
        """Tell whether a third hand made this."""
        return any(content == made for made, _ in self.thirds)

    def unlike(self, wanted: object) -> str | None:
        if self.holds == wanted or self.is_third(self.holds):
            return None
        return f"holds {self.holds}, not {wanted},"

    def undid_wrongly(self, write: Write, record: Record, was: object) -> bool:
        undo = record.steps[self.name].attempts[write.attempt].undo
        return undo and self.unlike(was) is not None

    @property
    def standing(self) -> object:
        return self.rewrites, "third" if self.is_third(self.holds) else repr(self.holds)

    def usurp(self) -> None:
        """A third hand writes."""
        self.world.note("writes of third hands")
        self.holds = self.form(record(f"third{len(self.thirds)}", ttl=5))
        self.thirds.append((self.holds, self.world.now))
        self.world.log("a third hand writes", self.holds, "on", self.name)

    def written_over(self, content: object, operation: OperationId) -> bool:
        """Tell whether a write over this would be one over what a third hand made after a write of ours."""
        ours = self.ours.get(operation)
        if ours is None or operation in self.yields or self.name in self.ledger.tainted:
            return False
        return any(content == made and at > ours for made, at in self.thirds)

    def yes(self, write: Write) -> Reply | NoReply:
        """What it says to a write that it carries out."""
        assert write.request is not None
        if write.request.method == "DELETE":
            return SAID[404 if self.holds is None else 204]
        return SAID[201 if self.holds is None else 204]

    def land(self, write: Write) -> Reply | NoReply:
        write.through = True
        assert write.request is not None
        said, body = self.yes(write), write.request.body
        becomes = None if write.request.method == "DELETE" else self.form(json.loads(body or b""))
        if becomes == self.holds:
            return said
        self.holds = becomes
        self.world.log(self.name, "now holds", becomes, write.attempt)
        if write.stray:
            self.thirds.append((becomes, self.world.now))
        self.ours.setdefault(write.operation, self.world.now)
        self.ledger.effect(write)
        return said


class ThingPort(HostPort):
    """What one running task sees of such a node."""

    _host: ThingHost
    _knows: object = None
    """What its last look showed."""

    def look_at_thing(self, kind: Kind, thing: Id) -> Shown:
        return kind.shown(thing, self._look(self._shown_of_it, TELLING_NOTHING))

    def _shown_of_it(self) -> Reply | NoReply:
        shown = self._host.holds
        if self._elsewhere:  # another node shows something else
            shown = STRANGE if shown is None else None
        self._knows = shown
        return SAID[404] if shown is None else Reply(200, json.dumps(shown).encode())

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
        operation = self._run.message.operation
        if self._host.written_over(self._knows, operation):
            raise Violation(f"{operation} writes over what a third hand made on {self._host.name}")
        action = Action.DELETE if verb == "delete" else Action.CREATE
        said = self._write(action, attempt, may_send, request)
        key = verb, id(said)  # every reply here is a constant of a module
        found = CLASSIFIED.get(key)
        if found is None:
            found = CLASSIFIED[key] = kind.said(verb, thing, said, hidden)
        if found.effect in (Effect.APPLIED, Effect.REPLACED):
            self._run.stage = Row.BEFORE_FINISH
        return found

    def _effective(self, write: Write, fate: Fate) -> Reply | NoReply:
        if not self._host.ignores:
            return super()._effective(write, fate)
        self._host.ignores -= 1
        write.through = True
        self._run.world.note("writes that a host said yes to, and ignored")
        self._run.sleep(1)
        return self._host.yes(write)


def fill(broker: Broker) -> None:
    """Have all operations be about one thing with content."""
    broker.world.note("schedules with content")
    broker.group, broker.order, broker.kind = GROUP, broker.ledger.store.order, lambda asked: KIND


@cache
def _asked(verb: str, value: str) -> ThingRequest:
    given = {} if verb == "delete" else {"values": [value], "ttl": 60, "note": "mine"}
    return asked_of(KIND, THING, verb, given, {}, SEALS, accept_loss=True)[0]


def ask(world: World) -> tuple[Action, ThingRequest]:
    """Choose what an operation asks for."""
    verb, value = VERBS[world.choose(3)], ("a", "b", "c")[world.choose(3)]
    return Action.DELETE if verb == "delete" else Action.CREATE, _asked(verb, value)


def disturb(broker: Broker, operations: Iterable[OperationId], moments: tuple[int, ...]) -> None:
    """Choose what third hands write, and when; a person says what is to become of it."""
    world, hosts = broker.world, list(broker.ledger.hosts.values())
    for _ in range((0, 0, 1, 2)[world.choose(4)]):
        host = hosts[world.choose(len(hosts))]
        assert isinstance(host, ThingHost)
        world.at(world.now + moments[world.choose(len(moments))] + world.choose(8), host.usurp)
    for operation in operations:
        _resolve_now_and_then(broker, operation)


def _resolve_now_and_then(broker: Broker, operation: OperationId) -> None:
    """A person looks, and has what was there before written over what an undo waits for."""
    world, ledger = broker.world, broker.ledger
    until = world.now + LAST

    def look() -> None:
        record = ledger.store.records.get(operation)
        if (record is None and world.now > until) or (record is not None and record.ended):
            return
        for name, step in record.steps.items() if record else ():
            host = ledger.hosts[name]
            assert isinstance(host, ThingHost)
            if step.trace.foreign is None or not record or name not in record.undo:
                continue
            if not host.thirds and name not in ledger.tainted:
                raise Violation(f"{operation} waits for a person, although nobody else wrote on {name}")
            if ledger.store.resolve(operation, name, "somebody") is None:
                host.yields.add(operation)
                world.note("words of a person")
        world.at(Millis(world.now + EVERY), look)

    world.at(Millis(world.now + EVERY), look)
