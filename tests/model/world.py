"""What hosts, networks and strangers do: the part that no code of ours decides."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.rules import Here, Local, Room
from tests.model.state import At, Late, Phase, Travel, Worker


def verb(wanted: bool) -> str:
    """The HTTP method that makes the group present, or absent."""
    return "POST" if wanted else "DELETE"


def wanted_by(here: Here, attempt: int) -> bool:
    """What the write of this attempt makes of the group: the target, or the opposite for an undo."""
    return here.target if attempt < len(here.step.forward) else not here.target


def landed(here: Here, wanted: bool) -> Here:
    """A write takes effect on the host; a promise that this breaks is written down."""
    host = here.host
    if host.holds is wanted:
        return here
    wrong = host.wrong
    if host.expected is not None and here.rules.lock:
        if not here.running:
            wrong = "LATE: a write took effect after its operation had ended"
        elif wanted is not here.target and host.expected is here.target:
            undone = "deleted a group that was there" if here.target else "created a group that was absent"
            wrong = f"FOREIGN: a rollback {undone} before"
    return here._replace(host=host._replace(holds=wanted, wrong=wrong))


def send(here: Here, worker: Worker, room: Room) -> Iterator[Local]:
    """The write leaves, and all that can come of it."""
    wanted, gone = wanted_by(here, worker.attempt), here.without_worker(worker)
    name = verb(wanted) if wanted is here.target else f"undo {verb(wanted)}"
    forward = wanted is here.target

    def answered(at: At, after: Here, says: str) -> Local:
        return after.with_worker(worker._replace(at=at)).then(f"{name} -> {says}")

    yield answered(At.FINISH_NOT_APPLIED, gone, "connection refused")
    yield gone.then(f"{name} did not take effect, answer lost")
    if here.host.down:
        return
    after, already = landed(gone, wanted), here.host.holds is wanted
    if already:
        yield answered(At.GOT_400, gone, "400/404 already so")
    else:
        yield answered(At.FINISH_APPLIED, after, "2xx")
        yield answered(At.GOT_400, gone, "400 bad request")
        yield after.then(f"{name} took effect, answer lost")
    yield answered(At.FINISH_REFUSED if forward else At.FINISH_NOT_APPLIED, gone, "401/403/... refused")
    if not room.late:
        return
    late = Late(worker.op, worker.attempt, Travel.UNDER_WAY)

    def travels(after: Here) -> Here:
        return after._replace(host=after.host._replace(late=tuple(sorted((*after.host.late, late)))))

    yield travels(gone).then(f"{name} timed out, its write still travels")
    if not here.rules.server_error_leaves_open:
        yield answered(At.FINISH_NOT_APPLIED, travels(gone), "500, and its write lands later")
    if not here.rules.writes_arrive_once and not already:
        yield travels(after).then(f"{name} took effect, answer lost, a copy still travels")


def late_writes(here: Here) -> Iterator[Local]:
    """A write that its client gave up on reaches the host, or takes effect there."""
    for late in sorted(set(here.host.late)):
        if late.op != here.op:
            continue
        rest = list(here.host.late)
        rest.remove(late)
        wanted = wanted_by(here, late.attempt)
        if late.travel is Travel.UNDER_WAY:
            arrived = tuple(sorted((*rest, late._replace(travel=Travel.ARRIVED))))
            yield here._replace(host=here.host._replace(late=arrived)).then(
                f"late {verb(wanted)} reaches the host"
            )
        else:
            without = here._replace(host=here.host._replace(late=tuple(rest)))
            yield landed(without, wanted).then(f"LATE {verb(wanted)} takes effect")


def dies(here: Here) -> Iterator[Local]:
    """The host goes down for good, with whatever had reached it."""
    if here.shared.hosts_may_die and not here.host.down:
        shared = here.shared._replace(hosts_may_die=here.shared.hosts_may_die - 1)
        yield Local("the host goes down for good", shared, here.host._replace(down=True, late=()))


def stranger(here: Here) -> Iterator[Local]:
    """Somebody else writes the group (against A2); from then on that is what is expected."""
    running = any(operation.phase is Phase.RUNNING for operation in here.shared.ops)
    if here.shared.strangers_may_write and running and not here.host.down:
        shared = here.shared._replace(strangers_may_write=here.shared.strangers_may_write - 1)
        host = here.host._replace(holds=not here.host.holds, expected=not here.host.holds)
        yield Local(f"a stranger's {verb(host.holds)} takes effect", shared, host)
