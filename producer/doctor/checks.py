"""What is wrong with an installation, and what mends it: pure functions of what was found by `facts`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from lockstep.producer.doctor import Finding, Level
from lockstep.worker.celery import OPERATIONS, ROLLBACK
from lockstep.worker.connection import SKEW
from lockstep.worker.operation.host import Pause, age
from lockstep.worker.operation.model import HostName, Loss, Millis
from lockstep.worker.operation.names import alike, counted, named, seconds
from lockstep.worker.record.damage import Damage
from lockstep.worker.record.reports import HeldInventory, Stall
from lockstep.worker.settings import PREFIX, TYPES, Settings

FULL = 0.7
"""Share of what an installation may grow to, from which on it is time to do something: docs/scale.md."""
AHEAD = 600
"""Seconds for which a queue may go on growing as it does before it is too long."""
MOST_DAMAGED = 20
"""Each has a line of its own; the others are counted."""
PATROLS_LATE = 10
"""Patrols that may go by before a group that is due has its turn."""


@dataclass(frozen=True, slots=True)
class About:
    """What one worker, or this machine, says of itself."""

    lockstep: str
    celery: str
    seals: str = ""
    """Ids of its seal keys, the one that seals first, or why it has none; empty where none are asked for."""

    @property
    def versions(self) -> str:
        """The versions that have to be the same everywhere."""
        return f"lockstep {self.lockstep}, celery {self.celery}"


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What of the workers was seen from here."""

    queues: Mapping[str, Sequence[str]]
    """The queues that each worker that answered takes tasks from."""
    swept: bool
    """A sweep was seen while looking."""
    here: About
    """This machine, and the versions that run on it."""
    workers: Mapping[str, About | None]
    """Each worker that answered; None for one too old to tell."""
    clocks: Mapping[str, int]
    """Milliseconds by which the clock of this machine, of each worker and of beat is ahead of Redis'."""
    lengths: Mapping[str, int]
    """Tasks that wait, by queue."""
    growth: Mapping[str, float]
    """Tasks a second that they became more while looking."""
    leased: int
    """Milliseconds for which the sweep's lease is still held; -1 for ever."""
    stuck: int
    baking: int
    """Operations that bake or are held: the sweep alone takes them further."""
    failing: Mapping[str, str]
    """Periodic pieces of work that failed when they were last tried, and why."""
    patrol_overdue: int
    """Groups that the patrol should have looked at by now."""
    patrol_lag: int
    """Milliseconds since the longest overdue of them was due."""
    lost: Sequence[Loss]
    """Operations whose record is gone, and on whose group no later one has ended."""


def on_work(facts: WorkFacts, settings: Settings) -> Iterator[Finding]:
    yield _on_queue(OPERATIONS, facts, settings)
    yield _on_queue(ROLLBACK, facts, settings)
    yield from on_versions(facts.here, facts.workers)
    if late := sorted(facts.queues.keys() ^ facts.workers.keys()):
        text = f"{named(late)} answered one of two questions in time"
        yield Finding("worker", Level.WARNING, text, "ask again: it was busy, or is about to stand still")
    yield from on_seals(facts.here, facts.workers)
    yield _on_beat(facts, settings)
    yield from on_failing(facts.failing)
    if facts.stuck:
        text = f"{facts.stuck} need a person" if facts.stuck > 1 else "1 needs a person"
        yield Finding("operations", Level.WARNING, text, "lockstep list --stuck")
    else:
        yield Finding("operations", Level.OK, "none needs a person")
    if facts.lost:
        names = named([f"{lost.id} on {lost.group}" for lost in facts.lost])
        text = f"the record of {names} is gone: hosts may have been changed"
        yield Finding("operations", Level.FAILURE, text, f"lockstep drift {facts.lost[0].id}")
    yield _on_patrol(facts, settings)
    yield _on_clocks(facts)


def on_settings(settings: Settings, stack: bool) -> Finding:
    """Tell which settings are not left at their defaults; `stack`: they come from the one that runs here."""
    if stack:
        return Finding("settings", Level.OK, "those of the stack that `make up` started here")
    given = [PREFIX + name.upper() for name in TYPES if name in settings.given]
    return Finding("settings", Level.OK, f"{', '.join(given) or 'none'} set, all others by default")


def _alike(
    subject: str, here: str, workers: Mapping[str, str], none: str, remedy: str, same: str = ""
) -> list[Finding]:
    """Judge whether this machine, unless it has nothing to compare, and all workers say the same."""
    told = alike([*([("here", here)] if here else []), *sorted(workers.items())])
    text = "; ".join(f"{what or none}: {named(names)}" for what, names in told)
    if len(told) > 1:
        return [Finding(subject, Level.WARNING, text, remedy)]
    return [Finding(subject, Level.OK, same or text)] if any(what for what, _ in told) else []


def on_versions(here: About, workers: Mapping[str, About | None]) -> list[Finding]:
    """Judge whether everything runs the same versions: any worker may read a record."""
    told = {name: each.versions if each else "" for name, each in workers.items()}
    remedy, same = "roll out the same version to all workers and producers", f"{here.versions} everywhere"
    return _alike("versions", here.versions, told, "older ones", remedy, same) if workers else []


def on_seals(here: About, workers: Mapping[str, About | None]) -> list[Finding]:
    """Judge whether all have the same seal keys; things with secrets wait for a worker that has theirs."""
    told = {name: each.seals if each else "" for name, each in workers.items()}
    remedy = "give all the same LOCKSTEP_SEAL_KEY_FILE: docs/kinds.md#secrets"
    return _alike("seal keys", here.seals, told, "none", remedy)


def on_inventories(
    here: HeldInventory | None, held: Mapping[str, HeldInventory], now: Millis
) -> list[Finding]:
    if not held:
        return []
    text = inventories(here, held, now)
    if faults := {name: each.fault for name, each in held.items() if each.fault}:
        (name, fault), *others = faults.items()
        more = f", and {len(others)} more" if others else ""
        text += f"; what the file of {name} says now is not taken{more}: {fault}"
        remedy = "mend the file: until then what was read before goes on to be used there"
        return [Finding("inventory", Level.WARNING, text, remedy)]
    if len({each.digest for each in (*held.values(), *([here] if here else []))}) == 1:
        return [Finding("inventory", Level.OK, text)]
    remedy = "wait until all have read the same file, a ConfigMap within two minutes; "
    remedy += "docs/operations.md#add-change-or-remove-a-node"
    return [Finding("inventory", Level.WARNING, text, remedy)]


def inventories(here: HeldInventory | None, held: Mapping[str, HeldInventory], now: Millis) -> str:
    """Tell who has which inventory: `3f2a91c04b11, 4 hosts: here, operations@a (read 5 s ago)`."""
    all_held = [] if here is None else [("here", here)]
    all_held += ((f"{name} (read {age(min(each.read_at, now), now)})", each) for name, each in held.items())
    told = alike((name, f"{each.digest}, {counted(each.hosts)}") for name, each in all_held)
    return "; ".join(f"{what}: {named(names)}" for what, names in told)


def on_uncovered(
    hosts: Sequence[HostName], lacked: Sequence[Collection[HostName]], kind: str = "group"
) -> list[Finding]:
    """Name hosts that lack what others hold: `lacked` has those that each held group, or thing, leaves out.

    One that half of the hosts lack may be meant for some alone, and says nothing of a host that any covers.
    """
    meant = [each for each in lacked if 2 * len(each) < len(hosts)]

    def lacks(host: HostName) -> int:
        return sum(host in each for each in (lacked if all(host in each for each in lacked) else meant))

    text = "no operation on {} of {} covered it: it lacks what others hold"
    return [
        Finding(
            "host",
            Level.WARNING,
            f"{named(names)}: {text.format(number, counted(len(lacked), kind))}",
            f"lockstep sync {names[0]} --dry-run  # then without it" if kind == "group" else "lockstep drift",
        )
        for number, names in alike((host, lacks(host)) for host in hosts)
        if number
    ]


def on_hosts(problems: Mapping[str, str | None]) -> Iterator[Finding]:
    """Judge the hosts: why each gave no usable answer, None for one that did."""
    remedy = "see whether it is up, its URL, token and certificate in the inventory"
    for host, why in problems.items():
        if why:
            yield Finding("host", Level.FAILURE, f"{host}: {why}", remedy)
    if answering := sum(why is None for why in problems.values()):
        yield Finding("host", Level.OK, f"{counted(answering)} answering")


def on_stalls(stalls: Sequence[Stall]) -> list[Finding]:
    """Tell which workers stood still within a day and ended themselves; others took their work on."""
    text = "{} stood still {} ago and ended itself: {}"
    remedy = "its log of that time has the stacks of all threads: docs/operations.md#a-worker-stood-still"
    told = (text.format(each.worker, seconds(each.ago), each.why) for each in stalls)
    return [Finding("worker", Level.WARNING, each, remedy) for each in told]


def on_pauses(pauses: Mapping[HostName, Pause]) -> list[Finding]:
    """Tell which hosts are paused: operations that need one of them are refused."""
    return [
        Finding("host", Level.WARNING, f"{host} is {held.text}", f"lockstep resume {host}")
        for host, held in pauses.items()
    ]


def on_damage(found: Collection[Damage]) -> list[Finding]:
    """Name what cannot be read: everything else goes on, and it does not."""
    told = [Finding("record", Level.FAILURE, each.text, each.remedy) for each in islice(found, MOST_DAMAGED)]
    if (more := len(found) - MOST_DAMAGED) > 0:
        told.append(Finding("record", Level.FAILURE, f"{more} more cannot be read", told[-1].remedy))
    return told


def _on_beat(facts: WorkFacts, settings: Settings) -> Finding:
    """Judge beat by what it causes: nothing else tells that it lives."""
    longest = max(500 * settings.sweep_every, 60_000)  # ms; no worker is likely to hold the lease for as long
    left = f"for {seconds(facts.leased)} more" if facts.leased > longest else ""
    if held := "for ever" if facts.leased < 0 else left:
        text = f"the sweep's lease is held {held}, which no worker asks for: no sweep runs"
        remedy = f"see who may write to Redis, then DEL {settings.key_prefix}lease:sweep"
        return Finding("beat", Level.FAILURE, text, remedy)
    if facts.swept:
        return Finding("beat", Level.OK, f"alive: a sweep runs every {settings.sweep_every:g} s")
    text = "no sweep was seen: what a lost message or a dead worker left behind is not resumed, no bake ends"
    if facts.baking:
        text += f", and {counted(facts.baking, 'operation')} with waves can only wait"
    remedy = "start beat: celery -A lockstep beat"
    if not any(ROLLBACK in queues for queues in facts.queues.values()):
        remedy = f"start a worker of the queue {ROLLBACK}, then see whether beat runs"
    elif "sweep" in facts.failing:
        remedy = "mend what keeps the sweep from being done, then see whether beat runs"
    return Finding("beat", Level.FAILURE, text, remedy)


def on_failing(failing: Mapping[str, str]) -> list[Finding]:
    """Judge the sweep and the patrol, which run and do not do their work."""
    remedy = f"see the log of {ROLLBACK}'s workers; docs/operations.md#a-sweep-or-a-patrol-is-not-done"
    return [
        Finding(name, Level.FAILURE, f"the {name} runs and is not done: {why}", remedy)
        for name, why in sorted(failing.items())
    ]


def _on_patrol(facts: WorkFacts, settings: Settings) -> Finding:
    if not facts.patrol_overdue:
        return Finding("patrol", Level.OK, "no group is overdue")
    waiting = f"{counted(facts.patrol_overdue, 'group')} overdue, the first for {seconds(facts.patrol_lag)}"
    if facts.patrol_lag < PATROLS_LATE * settings.patrol_every * 1000:
        return Finding("patrol", Level.OK, waiting)
    text = f"{waiting}: writes that land late are found late"
    batch = settings.patrol_batch
    remedy = f"raise LOCKSTEP_PATROL_BATCH ({batch}), or start workers of the queue {ROLLBACK}"
    return Finding("patrol", Level.WARNING, text, remedy)


def _on_clocks(facts: WorkFacts) -> Finding:
    differing = ", ".join(
        f"{name} {seconds(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"
        for name, ahead in sorted(facts.clocks.items())
        if abs(ahead) > SKEW
    )
    if not differing:
        return Finding("clock", Level.OK, f"all within {seconds(SKEW)} of Redis'")
    text = f"not Redis' time: {differing}; the times that these log and show are wrong, and they may refuse "
    text += "certificates; operations are not affected"
    return Finding("clock", Level.WARNING, text, "synchronise them by NTP")


def _on_queue(queue: str, facts: WorkFacts, settings: Settings) -> Finding:
    workers = sorted(name for name, queues in facts.queues.items() if queue in queues)
    length, subject = facts.lengths[queue], f"queue {queue}"
    late = "; sweeps are put off, and resume nothing" if length > settings.sweep_queue_limit else ""
    if not workers:
        text = f"no worker answers, {length} tasks wait{late}"
        return Finding(subject, Level.FAILURE, text, f"celery -A lockstep worker -Q {queue}")
    text, growth = f"{length} tasks wait for {named(workers)}", facts.growth[queue]
    full = length > FULL * settings.sweep_queue_limit
    if not full and length + AHEAD * growth > settings.sweep_queue_limit:
        text, full = f"{text}, and {growth:.0f} more each second: more is asked for than they do", True
    if full:
        return Finding(subject, Level.WARNING, text + late, "start more workers: docs/scale.md says how many")
    return Finding(subject, Level.OK, f"{named(workers)}; {length} tasks wait")
