"""Nodes and the network before them: answers that come before or after the effect, late, or never."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pycurl

from lockstep.worker.operation.answer import (
    HttpRequest,
    LookAnswer,
    NoReply,
    Reply,
    StopOrdered,
    classify_look,
    classify_write,
)
from lockstep.worker.operation.content import Effect, WriteAnswer
from lockstep.worker.operation.host import ALL_HOSTS, MaySend
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, OperationId, Presence
from tests.groups_alone import GroupsAlone
from tests.simulation import transport
from tests.simulation.faults import GROUP, Fate, Row, T
from tests.simulation.transport import answer
from tests.simulation.world import START, Violation, World
from tests.twin.record import Record

if TYPE_CHECKING:
    from tests.simulation.ledger import Ledger
    from tests.simulation.task import Run

READ_TIMEOUT = 10_000
CONNECT_TIMEOUT = 3_000
NOT_SENT = tuple(map(transport.came, transport.NOT_SENT))
LOST = tuple(map(transport.came, transport.LOST))
TOO_LATE = transport.came(transport.TOO_LATE)
"""What comes of a call that fails, in every way in which libcurl may say so."""
BODY = b'{"groupId": "g", "colour": "red"}'
ODD = b"<html>welcome</html>"
LONG = transport.Way(pycurl.E_WRITE_ERROR, status=200, body=b"x" * (transport.MOST + 1))
SHOWN = {True: classify_look(GROUP, answer(200, BODY)), False: classify_look(GROUP, answer(404))}
TELLING_NOTHING: dict[Fate, tuple[Reply | NoReply, ...]] = {
    Fate.ERROR: (answer(500),),
    Fate.TIMEOUT: LOST,
    Fate.RESET: LOST,
    Fate.NOT_SENT: NOT_SENT,
    Fate.FORBIDDEN: (answer(403),),
    Fate.RETRY_AFTER: (answer(429, b"", "Retry-After: 20"),),
    Fate.OVERSIZED: (transport.came(LONG),),
}
"""Of looks."""
UNSEEN = {fate: tuple(classify_look(GROUP, said) for said in ways) for fate, ways in TELLING_NOTHING.items()}
DONE = {Action.CREATE: answer(201), Action.DELETE: answer(200)}
ODDLY_DONE = {Action.CREATE: answer(201, ODD), Action.DELETE: answer(200, ODD)}
CONTESTED = {Action.CREATE: answer(400), Action.DELETE: answer(404)}
NOT_THERE = {400: answer(400), 404: answer(404)}
WITHOUT_EFFECT: dict[Fate, tuple[Reply | NoReply, ...]] = {
    Fate.ERROR: (answer(500),),
    Fate.TIMEOUT: LOST,
    Fate.RESET: LOST,
    Fate.FORBIDDEN: (answer(403),),
    Fate.BAD_REQUEST: (answer(400),),
    Fate.RETRY_AFTER: (answer(503, b"", "Retry-After: 20"),),
    Fate.REDIRECT: (answer(302),),
}
LATE = (Fate.LATE, Fate.CRASH_LATE, Fate.REDIRECT_LATE, Fate.TOO_LATE)
CLASSIFIED: dict[tuple[Action, int], WriteAnswer] = {}


@dataclass(slots=True)
class Write:
    """A write whose bytes have left."""

    action: Action
    operation: OperationId
    attempt: AttemptId
    host: SimHost
    request: HttpRequest | None = None
    """Of a thing with content."""
    stray: bool = False
    """Outside what the protocol covers: frozen past its last check, or later than A1 allows."""
    through: bool = False
    """The host is through with it."""


class SimHost:
    """One node: holds the group or not; down, hanging, or up."""

    def __init__(
        self, name: HostName, world: World, ledger: Ledger, holds: object, absent: int = 404
    ) -> None:
        self.name = name
        self.url = f"url of {name}"
        self.world = world
        self.ledger = ledger
        self.holds = holds
        self.not_there = NOT_THERE[absent]
        """What it says to a DELETE of what it does not hold: nodes differ."""
        self.back_at = int(START) - 1
        """It answers nothing up to and including this moment."""
        self.hangs = False
        self.down_for = 0
        self.wrong_until = int(START)
        self.lacking = False

    def port(self, run: Run, elsewhere: bool) -> HostPort:
        """Return it as one running task sees it."""
        return HostPort(run, self, elsewhere)

    def asked(self, record: Record) -> object:
        """Return what it is to hold by an operation."""
        return record.target is Presence.PRESENT

    def unlike(self, wanted: object) -> str | None:
        """Say what is wrong if it does not hold what is wanted."""
        return None if self.holds is wanted else f"{'lacks' if wanted else 'holds'} the group"

    def undid_wrongly(self, write: Write, record: Record, was: object) -> bool:
        """Tell whether what a write has just done is an undo of what was not the operation's own."""
        return write.action is not record.action and was is not (write.action is Action.CREATE)

    @property
    def standing(self) -> object:
        """What it holds, as a part of a state."""
        return self.holds

    @property
    def down(self) -> bool:
        return self.world.now <= self.back_at

    def go_down(self, duration: int, hangs: bool) -> None:
        self.world.log(self.name, "hangs" if hangs else "is down", f"for {duration} ms")
        self.back_at = max(self.back_at, self.world.now + duration)
        self.hangs, self.down_for = hangs, duration

    def arrives(self, write: Write) -> None:
        """Begin to work on a write: no more are at work than the limit allows, silent hosts not counted."""
        world = self.world
        world.under_way = [each for each in (*world.under_way, write) if not each.through and not each.stray]
        for name, limit in self.ledger.store.limited.items():
            at_work = [each for each in world.under_way if name in (ALL_HOSTS, each.host.name)]
            if limit.at_once and sum(not each.host.down for each in at_work) > limit.at_once:
                raise Violation(f"more than {limit.at_once} writes are at work at {name}")

    def land(self, write: Write) -> Reply | NoReply:
        """Do what the write asks for, unless it is done already."""
        write.through = True
        create = write.action is Action.CREATE
        if self.holds is create:
            return CONTESTED[Action.CREATE] if create else self.not_there
        if self.world.tracing:
            self.world.log(self.name, "now", "holds" if create else "lacks", "the group:", write.attempt)
        self.holds = create
        self.ledger.effect(write)
        return DONE[write.action]

    def land_later(self, write: Write) -> None:
        """Land when its time has come; a node that answers nothing may land it as late as when it is back."""
        if self.down and not write.stray:
            self.world.at(self.back_at, lambda: self.land(write))
        else:
            self.land(write)


class HostPort(GroupsAlone):
    """What one running task sees of a node."""

    def __init__(self, run: Run, host: SimHost, elsewhere: bool) -> None:
        self._run = run
        self._host = host
        self._elsewhere = elsewhere
        self.fingerprint = "another url" if elsewhere else host.url

    def look_at_group(self, group: GroupId) -> LookAnswer:
        return self._look(self._shown, UNSEEN)

    def _shown(self) -> LookAnswer:
        return SHOWN[self._host.holds is not self._elsewhere]  # another node shows the opposite

    def _look(self, shown: Callable[[], T], unseen: Mapping[Fate, Sequence[T]]) -> T:
        run, host, world = self._run, self._host, self._run.world
        fate, delay = run.draw(world.looks)
        if fate is Fate.STOPPING:
            raise StopOrdered
        run.sleep(delay)
        if host.down:
            return self._dead_look(unseen)
        if fate is Fate.OK:
            seen = shown()
            run.sleep(delay)
            if world.tracing:
                run.log("GET", host.name, host.holds)
            if run.message.kind == "patrol":
                host.ledger.patrol_saw(run, host)
            return seen
        if fate is Fate.TIMEOUT:
            run.sleep(READ_TIMEOUT)
        if fate is Fate.OVERSIZED and not host.holds and not self._elsewhere:
            return shown()
        run.log("GET", host.name, fate.name)
        return self._one_of(unseen[fate])

    def _dead_look(self, unseen: Mapping[Fate, Sequence[T]]) -> T:
        run, host = self._run, self._host
        run.met_down(host)
        run.sleep(READ_TIMEOUT if host.hangs else 1)
        run.log("GET", host.name, "down")
        return self._one_of(unseen[Fate.TIMEOUT if host.hangs else Fate.NOT_SENT])

    def _one_of(self, ways: Sequence[T]) -> T:
        """Take turns without a choice: which way it was must not matter to what is drawn next."""
        return ways[self._run.world.now % len(ways)]

    def unwell(self, path: str) -> str | None:
        raise AssertionError("no host of the simulation has a health path")

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, may_send: MaySend, body: str | None = None
    ) -> WriteAnswer:
        said = self._write(action, attempt, may_send)
        key = action, id(said)  # every reply here is a constant of this module
        found = CLASSIFIED.get(key)
        if found is None:
            found = CLASSIFIED[key] = classify_write(action, GROUP, said)
        if found.effect is Effect.APPLIED:
            self._run.stage = Row.BEFORE_FINISH
        return found

    def _write(
        self, action: Action, attempt: AttemptId, may_send: MaySend, request: HttpRequest | None = None
    ) -> Reply | NoReply:
        if self._elsewhere:
            raise Violation("a write goes to a host that is not the one of the record")
        write = Write(action, self._run.message.operation, attempt, self._host, request)
        said = self._sent(write, may_send)
        if self._run.world.tracing:
            self._run.log(action, self._host.name, attempt, said)
        return said

    def _sent(self, write: Write, may_send: MaySend) -> Reply | NoReply:
        run, host, world = self._run, self._host, self._run.world
        fate, delay = run.draw(world.write)
        if world.first_write_strays:
            world.first_write_strays, fate = False, Fate.TOO_LATE
        run.sleep(delay)
        if fate is Fate.NOT_SENT or (host.down and not host.hangs):
            run.met_down(host)
            return self._one_of(NOT_SENT)
        if not may_send():
            run.stopped_by_the_guard()
            return TOO_LATE
        host.ledger.sent(write)
        run.stage = Row.BEFORE_ANSWER
        if fate is Fate.FROZEN_AFTER_GUARD:
            world.note("writes frozen after their last check")
            run.sleep((4_000, 100_000)[world.choose(2)])
            write.stray = host.ledger.past_its_window(write)
        host.arrives(write)
        if fate in WITHOUT_EFFECT:
            write.through = True
            run.sleep(READ_TIMEOUT if fate is Fate.TIMEOUT else 1)
            return self._one_of(WITHOUT_EFFECT[fate])
        return self._effective(write, fate)

    def _effective(self, write: Write, fate: Fate) -> Reply | NoReply:
        run, host, world = self._run, self._host, self._run.world
        if fate in LATE:
            late = host.ledger.latest_landing(write, world.choose(5))
            if fate is Fate.TOO_LATE:
                late, write.stray = world.now + (40_000, 200_000, 900_000)[world.choose(3)], True
                world.hit(Row.TOO_LATE)
            world.at(late, lambda: host.land_later(write))
            if fate is Fate.CRASH_LATE:
                run.kill()
            if fate is Fate.REDIRECT_LATE:
                return self._one_of(WITHOUT_EFFECT[Fate.REDIRECT])
            run.sleep((1, READ_TIMEOUT)[world.choose(2)])
            return self._one_of(LOST)
        if host.down:  # it hangs: the bytes are there, and are dealt with when it is back
            world.at(host.back_at, lambda: host.land(write))
            run.met_down(host)
            run.sleep(READ_TIMEOUT)
            return self._one_of(LOST)
        said = host.land(write)
        if fate is Fate.CRASH_SENT:
            run.kill()
        run.sleep(READ_TIMEOUT if fate is Fate.TIMEOUT_AFTER else 1)
        if fate is Fate.ERROR_AFTER:
            return self._one_of(WITHOUT_EFFECT[Fate.ERROR])
        if fate is Fate.REDIRECT_AFTER:
            return self._one_of(WITHOUT_EFFECT[Fate.REDIRECT])
        if fate in (Fate.TIMEOUT_AFTER, Fate.RESET_AFTER):
            return self._one_of(LOST)
        if fate is Fate.ODD_BODY and said is DONE[write.action]:
            return ODDLY_DONE[write.action]
        return said
