"""Whether the model allows one transition of a record, given what it held before and what it holds after.

A record tells nothing of workers, messages and hosts, so a transition is allowed if the model makes it for
some of them. Hosts are independent of each other, so each is followed by itself along every way that the
operation can have gone; that is exact, and as cheap with 300 hosts as with two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

from tests.model import waves
from tests.model.lockstep import Lockstep
from tests.model.rules import Joint, Room, Rules
from tests.model.state import (
    Action,
    At,
    Cancel,
    Decision,
    Host,
    Operation,
    Outcome,
    Phase,
    Shared,
    Stage,
    Undo,
    Worker,
)

LONGEST = 8
"""Transitions of the operation itself that one script may make: a cancel is two, the next wave four."""
AGAIN = 6
"""Transitions of one host that one script may make: calls that come together are served together."""


class Kind(NamedTuple):
    """What of an operation never changes, and decides what is allowed."""

    action: Action
    waves: int
    gate: bool
    waved: bool
    limited: bool = False
    content: bool = False
    """Of a thing with content: its steps are held to `content_trace`."""


class Pair(NamedTuple):
    """One host before and after, and which of its slots are of attempts that were clean when opened."""

    before: Host
    after: Host
    clean: frozenset[int]


class Way(NamedTuple):
    """How an operation went: from where, and by which transitions of its own."""

    first: Operation
    joints: tuple[Joint, ...]

    @property
    def last(self) -> Operation:
        return self.joints[-1].shared.ops[0] if self.joints else self.first

    @property
    def labels(self) -> list[str]:
        return [joint.label for joint in self.joints]


@cache
def model_of(kind: Kind) -> Lockstep:
    """The shipped protocol for such an operation; whatever may happen to one may happen here."""
    return Lockstep(
        Rules(
            actions=(kind.action,),
            cancels=True,
            holds=1,
            waves=tuple(range(1, kind.waves + 1)) if kind.waved else (),
            bake=kind.waved,
            gate=kind.gate,
            limited=kind.limited,
        )
    )


def refusal(
    kind: Kind, before: Operation, after: Operation, pairs: Collection[Pair], why: str = ""
) -> str | None:
    """Say what of this transition the model does not allow; None if it allows all.

    `why` is a word of the transition by which the record says that it was decided here.
    """
    ways = [way for way in _ways(kind, before, after) if not why or any(why in label for label in way.labels)]
    if not ways:
        return f"the operation may not go from {_told(before)} to {_told(after)}{why and f', {why}'}"
    distinct, refused = set(pairs), ""
    for way in ways:
        stopped = _stopped(kind, way, distinct)
        if not stopped:
            return None
        refused = refused or stopped
    return refused


@cache
def overdue(kind: Kind, now: Operation, hosts: frozenset[Host]) -> str | None:
    """Say what was due in the transition that left a record so, and was not done."""
    joints = (joint for joint in model_of(kind).joint(_shared(now)) if joint.at_once)
    due = next((joint for joint in joints if joint.enabled(tuple(hosts))), None)
    return f"this was due in the same transition: {due.label}" if due else None


@cache
def broken(now: Operation, hosts: frozenset[Host]) -> str | None:
    """Say what a record is that none may ever be."""
    return next((wrong for host in hosts for wrong in waves.broken(_shared(now), host)), None)


def _told(operation: Operation) -> str:
    waved = (operation.wave, operation.hold, operation.round) != (1, 0, 0) or operation.stage != Stage.WORKING
    held = f", hold {operation.hold}, {operation.released} released" if operation.hold else ""
    more = f", wave {operation.wave} {operation.stage}, round {operation.round}{held}" if waved else ""
    return f"({operation.phase}, {operation.decision}{more})"


def _shared(operation: Operation) -> Shared:
    return Shared((operation,), holds_may_come=1)


@cache
def _plain(operation: Operation) -> Operation:
    """What a record tells of it."""
    bare = operation._replace(told_commit=False, told_roll_back=False, cancel=Cancel.NOT_ASKED, asked=())
    return bare if bare.decision is Decision.NONE else waves.decided(bare)


@cache
def _ways(kind: Kind, before: Operation, after: Operation) -> list[Way]:
    """Every way from one to the other by transitions of the operation itself, the shortest first."""
    wanted = _plain(after)

    @cache
    def onward(now: Operation, most: int) -> list[tuple[Joint, ...]]:
        if _plain(now) == wanted:
            return [()]
        steps = _steps(kind, now) if most else ()
        return [
            (joint, *rest)
            for joint, then in steps
            if _leads_to(then, after)
            for rest in onward(then, most - 1)
        ]

    return [Way(before, joints) for joints in sorted(onward(before, LONGEST - 1), key=len)]


@cache
def _steps(kind: Kind, now: Operation) -> tuple[tuple[Joint, Operation], ...]:
    """The transitions of the operation itself that change it, and what each makes of it."""
    found = [(joint, joint.shared.ops[0]) for joint in model_of(kind).joint(_shared(now))]
    return tuple((joint, then) for joint, then in found if then != now)


def _leads_to(now: Operation, after: Operation) -> bool:
    """Whether the one may still become the other; a record never goes back."""
    if now.decision not in (Decision.NONE, after.decision) or now.wave > after.wave:
        return False
    if now.phase is Phase.ENDED and after.phase is not Phase.ENDED:
        return False
    further = now.hold > after.hold or now.released > after.released or now.round > after.round
    return after.decision is not Decision.NONE or not (further or now.cancel is Cancel.ACCEPTED)


def _stopped(kind: Kind, way: Way, pairs: Collection[Pair]) -> str:
    """Say what keeps the hosts from going this way; empty if nothing does."""
    met: frozenset[int] = frozenset()
    for pair in pairs:
        runs = _runs(kind, way, pair)
        if not runs:
            by = f", by {way.labels}" if way.joints else ""
            return f"a host may not go from {_step(pair.before)} to {_step(pair.after)}{by}"
        met = met.union(*runs)
    alone = [n for n, joint in enumerate(way.joints) if joint.any_host and n not in met]
    return f"no host gave a reason for {way.labels[alone[0]]}" if alone else ""


def _step(host: Host) -> str:
    step = host.steps[0]
    fates = [str(each) for each in step.forward], [str(each) for each in step.backward]
    gate = ", to pass the gate" if host.gating else ""
    return f"({step.outcome}, before {step.before}, undo {step.undo}, attempts {fates}{gate})"


_known: dict[tuple[object, ...], frozenset[frozenset[int]]] = {}


def _runs(kind: Kind, way: Way, pair: Pair) -> frozenset[frozenset[int]]:
    """How a host may have gone along: for each run, which conditions on a single host it met."""
    key = (kind, way.first, tuple(way.labels), pair)
    if key not in _known:
        _known[key] = frozenset(_follow(kind, way, pair))
    return _known[key]


def _follow(kind: Kind, way: Way, pair: Pair) -> Iterator[frozenset[int]]:
    now = {(gone, frozenset[int]()) for gone in _reached(kind, way.first, pair.before, pair)}
    for number, joint in enumerate(way.joints):
        (operation,) = joint.shared.ops
        now = {
            (gone, met | {number} if joint.when(host) else met)
            for host, met in now
            if joint.any_host or joint.when(host)
            for gone in _reached(kind, operation, bare(joint.then(host)), pair)
        }
    for host, met in now:
        if host == pair.after:
            yield met


def _reached(kind: Kind, operation: Operation, host: Host, pair: Pair) -> set[Host]:
    """Where a host may get to by transitions of its own, on its way to what it came to."""
    if kind.content:
        return _mixed(host, pair.after)
    found, new = {host}, {host}
    for _ in range(AGAIN if pair.before != pair.after else 0):
        steps = {then for each in new for then in _next(kind, operation, each, pair.clean)}
        new = {then for then in steps - found if _on_the_way(then, pair)}
        found |= new
    return found


def _mixed(host: Host, after: Host) -> set[Host]:
    """The host with any part of it as it came to be; the decision alone has it undone."""
    steps = {host.steps[0]}
    for name in host.steps[0]._fields:
        then = getattr(after.steps[0], name)
        if name != "undo" or (host.steps[0].undo is Undo.NEEDED and then is not Undo.NONE):
            steps |= {step._replace(**{name: then}) for step in steps}
    gates = {(host.gating, False), (host.gating and after.gating, False), (host.gating, host.gating)}
    return {host._replace(steps=(step,), gating=on, gate_failed=no) for step in steps for on, no in gates}


def _on_the_way(host: Host, pair: Pair) -> bool:
    """Whether each part of it is as it was, or as it came to be; who fails the gate shows in the decision."""
    before, after = pair.before, pair.after
    if host.gating not in (before.gating, after.gating):
        return False
    parts = zip(host.steps[0][2:], before.steps[0][2:], after.steps[0][2:], strict=True)
    fates = zip(host.steps[0].attempts, before.steps[0].attempts, after.steps[0].attempts, strict=True)
    return all(now in (then, at_last) for now, then, at_last in (*parts, *fates))


@cache
def _next(kind: Kind, operation: Operation, host: Host, clean: frozenset[int]) -> frozenset[Host]:
    """What the next transition may make of a host, whoever is at work on it and whatever it holds."""
    found = {
        bare(then)
        for world in _worlds(operation, host, clean)
        for _, _, then in model_of(kind).local(_shared(operation), world, Room(worker=True, late=True))
    }
    return frozenset(found - {host})


def _worlds(operation: Operation, host: Host, clean: frozenset[int]) -> Iterator[Host]:
    """The host with each worker that may be at work there; and down, for then it may be abandoned."""
    slots = range(len(host.steps[0].attempts))
    workers = [Worker(0, At.GATE_SEEN, operation.round, saw=saw) for saw in (False, True)]
    workers += [Worker(0, at, saw=saw) for at in (At.BEGIN, At.RECORD_RESTORED) for saw in (False, True)]
    for at in (At.FINISH_APPLIED, At.FINISH_ALREADY, At.FINISH_REFUSED, At.FINISH_NOT_APPLIED):
        workers += [Worker(0, at, slot, clean=slot in clean) for slot in slots]
    yield host
    yield host._replace(down=True)
    for worker in workers:
        yield host._replace(workers=(worker,))
    for free in slots:  # so that an attempt is opened under the id that the record has
        others = tuple(Worker(0, At.SEND, slot) for slot in slots if slot != free)
        for saw in (False, True):
            yield host._replace(workers=(*others, Worker(0, At.BEGIN, saw=saw)))


def bare(host: Host) -> Host:
    """What a record tells of a host: not who works on it, nor what it holds; and one way to fail for all."""
    (step,) = host.steps
    outcome = Outcome.UNKNOWN if step.outcome.failed else step.outcome
    step = step._replace(outcome=outcome, proven=False, undo_may_have_landed=False)
    return Host(False, False, (step,), wave=host.wave, gating=host.gating, gate_failed=host.gate_failed)
