"""Replay the journal of a real run through the model: `python -m tests.model.trace FOLDER` of a Redis server.

Every change of a record, rebuilt as in `tests.model.records`, must be one that `tests.model.allowed` allows.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.chaos.journal import commands
from tests.model import content_trace
from tests.model.allowed import Kind, Pair, bare, broken, overdue, refusal
from tests.model.records import SETS, Record, Records, transactions
from tests.model.state import Action, Attempt, Decision, Host, Operation, Outcome, Phase, Stage, Step, Undo

KNOWN = ("1", "2", "3")
SHOWN = 20
KEPT = 1 << 14
"""Steps that are remembered as they were read: of many hosts few change at a time."""
LANDED = ("applied", "settled")
"""Fates of an attempt that may have had its effect."""
BY = {"cancelled": "(cancel)", "expired": "(cancel)", "deadline": "(deadline)", "held": "(held for too long)"}
"""Kind of a reason -> what the model calls a decision by it; an operation that expires is cancelled."""


@dataclass(slots=True)
class Trace:
    """What was found in a journal."""

    wrong: list[str] = field(default_factory=list)
    transitions: int = 0
    operations: int = 0
    things: int = 0
    """Transitions among them of things with content."""
    came_to: Counter[str] = field(default_factory=Counter)
    """How an operation's record changed -> how often."""


def replay(
    journal: Iterable[Sequence[str]],
    ours: str = "",
    but_not: Container[str] = frozenset(),
    late: Container[str] = frozenset(),
) -> Trace:
    """Hold every transition of the records whose keys begin with `ours` to the model, except of some.

    What is due may be done in a later transition of those that are `late`.
    """
    trace, records = Trace(), Records(ours)
    for transaction in transactions(journal):
        for key, was, now in records.after(transaction):
            if key not in but_not:
                _judge(trace, key, was, now, late=key in late)
    return trace


def _judge(trace: Trace, key: str, was: Record | None, now: Record | None, *, late: bool) -> None:
    if now is None or not now.fields.get("format"):
        if was is not None and was.fields.get("format") and was.fields.get("ended") != "1":
            trace.wrong.append(f"{key}: its record went before it had ended")
        return
    trace.transitions += 1
    trace.things += "content" in now.fields
    trace.operations += was is None
    try:
        if now.fields["format"] not in KNOWN:
            raise ValueError(f"format {now.fields['format']}")
        found = _refused(was, now, late=late)
    except (ValueError, KeyError, TypeError) as error:
        found = [f"cannot be read: {error!r}"]
    trace.came_to[f"{_state(was)} to {_state(now)}"] += 1
    trace.wrong += [f"{key}, transition {trace.transitions}: {each}" for each in found]


def _state(record: Record | None) -> str:
    return record.fields.get("state", "") + (" (ended)" * ("ended" in record.fields)) if record else "nothing"


def _refused(was: Record | None, now: Record, *, late: bool) -> list[str]:
    kind = _kind(now)
    before = _operation(was) if was else Operation()
    after = _operation(now)
    if was and was.steps.keys() != now.steps.keys():
        return [f"its hosts were {sorted(was.steps)} and are {sorted(now.steps)}"]
    pairs, found = list[Pair](), list[str]()
    for host, text in now.steps.items():
        old = was.steps[host] if was else _never_begun(text)
        pairs.append(_pair(old, text, *_members(was, host), *_members(now, host)))
        if old != text:
            found += _impossible(host, json.loads(old), json.loads(text))
            found += [f"{host}: {each}" for each in _missteps(now, before, after, old, text)]
    decided_here = before.decision is Decision.NONE and after.decision is Decision.ROLL_BACK
    # The release before does not say of which kind its reason is.
    known = decided_here and not (late and "reason_kind" not in now.fields)
    why = BY.get(now.fields.get("reason_kind", ""), "(a step failed)") if known else ""
    refused = refusal(kind, before, after, pairs, why)
    hosts = frozenset(pair.after for pair in pairs)
    due = None if late else overdue(kind, after, hosts)
    return [*found, *_torn(now, after), *filter(None, (refused, due, broken(after, hosts)))]


def _missteps(record: Record, before: Operation, after: Operation, old: str, new: str) -> list[str]:
    if "content" not in record.fields:
        return []
    decided, rolls_back = before.decision is not Decision.NONE, after.decision is Decision.ROLL_BACK
    asked = json.loads(record.fields["content"])
    return content_trace.Change(asked, json.loads(old), json.loads(new), decided, rolls_back).wrong()


@lru_cache(KEPT)
def _never_begun(text: str) -> str:
    """The step as it is when its operation is accepted."""
    step = json.loads(text)
    return json.dumps({name: step[name] for name in ("fingerprint", "wave", "as_seen") if name in step})


def _members(record: Record | None, host: str) -> tuple[bool, bool]:
    """Whether the host is still to be restored, and whether it is still to pass the gate."""
    if record is None:
        return False, False
    decision = record.fields.get("decision", "")
    undo = decision == "roll_back" and host in record.sets["undo"]
    return undo, not decision and host in record.sets["gating"]


def _kind(record: Record) -> Kind:
    waved = "stage" in record.fields  # records of format 2 may have limits alone
    last = int(record.fields.get("waves", "1")) if waved else 1
    limited = record.fields.get("limited") == "1"
    gate, content = record.fields.get("gate") == "1", "content" in record.fields
    return Kind(Action(record.fields["action"]), last, gate, waved, limited, content)


def _operation(record: Record) -> Operation:
    has = record.fields
    phase = Phase.ENDED if has.get("ended") == "1" else Phase.RUNNING
    decision = {"commit": Decision.COMMIT, "roll_back": Decision.ROLL_BACK}.get(
        has.get("decision", ""), Decision.NONE
    )
    hold = int(has.get("hold_no", "0"))
    operation = Operation(
        phase,
        decision,
        told_commit=decision is Decision.COMMIT,
        told_roll_back=decision is Decision.ROLL_BACK,
        wave=int(has.get("wave", "1")),
    )
    if decision is not Decision.NONE:
        return operation
    return operation._replace(
        stage=Stage(has.get("stage", "working")),
        hold=hold,
        released=int(has.get("released_no", "0")) if has.get("held") else hold,
        asked=(hold,) if hold else (),
        round=int(has.get("round", "0")),
    )


@lru_cache(KEPT)
def _pair(
    was: str, now: str, undo_before: bool, gating_before: bool, undo_after: bool, gating_after: bool
) -> Pair:
    """The host as the model knows it, before and after, with the slots that either is about."""
    old, new = json.loads(was), json.loads(now)
    known: Mapping[str, Any] = new.get("attempts") or {}
    ordered = sorted(known, key=lambda each: known[each]["n"])
    fates = {each: (_fate(old, each), _fate(new, each)) for each in ordered}
    ways = [[each for each in ordered if known[each]["undo"] is undo] for undo in (False, True)]
    was_there = (old.get("attempts") or {}).keys()
    for way in ways:
        way[:] = _enough(way, lambda each: (fates[each], known[each]["clean"], each in was_there))
    slots = [*ways[0], *ways[1]]
    clean = frozenset(n for n, each in enumerate(slots) if known[each]["clean"])
    before, after = _host(old, ways, undo_before), _host(new, ways, undo_after)
    return Pair(before._replace(gating=gating_before), after._replace(gating=gating_after), clean)


def _enough(way: Sequence[str], what: Callable[[str], object]) -> list[str]:
    """Leave out of those that went the same way all but two: the one, and another that is there beside it."""
    alike = Counter[object]()
    kept = []
    for each in way:
        alike[what(each)] += 1
        if alike[what(each)] <= 2:
            kept.append(each)
    return kept


def _fate(step: Mapping[str, Any], attempt: str) -> Attempt:
    kept = (step.get("attempts") or {}).get(attempt)
    if kept is None or kept["state"] != "open":
        return Attempt.CLOSED
    return Attempt.SEEN_ONCE if kept.get("probed") else Attempt.OPEN


def _host(step: Mapping[str, Any], slots: Sequence[list[str]], to_restore: bool) -> Host:
    attempts = (step.get("attempts") or {}).values()
    forward, backward = (tuple(_fate(step, each) for each in way) for way in slots)
    before = step.get("before")
    made = Step(
        forward,
        backward,
        before=None if before is None else before == "present",
        outcome=Outcome(step.get("outcome", "unset")),
        undo=Undo.NEEDED if to_restore else Undo(step.get("undo", "none")),
        touched=any(not each["undo"] for each in attempts),
        may_have_landed=any(not each["undo"] and each["state"] in LANDED for each in attempts),
    )
    return bare(Host(False, False, (made,), wave=int(step.get("wave") or 1)))


def _impossible(host: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What the model has no words for: attempts keep their ids, their times and, once closed, their fates."""
    was, now = (each.get("attempts") or {} for each in (old, new))
    for gone in was.keys() - now.keys():
        yield f"attempt {gone} on {host} is on record no more"
    for known in was.keys() & now.keys():
        for name in ("undo", "opened", "send_by", "quiet", "clean", "n"):
            if was[known][name] != now[known][name]:
                yield f"attempt {known} on {host} had another {name}"
        if was[known]["state"] not in ("open", now[known]["state"]):
            fates = was[known]["state"], now[known]["state"]
            yield f"attempt {known} on {host} was closed as {fates[0]}, and then as {fates[1]}"
    for attempt in now.values():
        if attempt.get("probed") and attempt["probed"] < attempt["quiet"]:
            yield f"an attempt on {host} was looked at before it could no longer be in our hands"
    if old.get("fingerprint", new["fingerprint"]) != new["fingerprint"]:
        yield f"{host} came to have another URL"


def _torn(record: Record, operation: Operation) -> Iterator[str]:
    """The sets by which the sweep goes are what the steps say."""
    if operation.phase is Phase.ENDED:
        yield from (f"its set {name} outlives it" for name in SETS if record.sets[name])
        return
    standing = {host: _standing(text) for host, text in record.steps.items()}
    opened = {host for host, (is_open, _, _) in standing.items() if is_open}
    if record.sets["open"] != opened:
        yield f"attempts are open on {sorted(opened)}, and its set says {sorted(record.sets['open'])}"
    if operation.decision is Decision.NONE:
        todo = {host for host, (_, done, wave) in standing.items() if not done and wave <= operation.wave}
        if record.sets["todo"] != todo:
            yield f"{sorted(todo)} have no outcome, and its set says {sorted(record.sets['todo'])}"


@lru_cache(KEPT)
def _standing(text: str) -> tuple[bool, bool, int]:
    """Whether an attempt of the step is open, whether it has its outcome, and its wave."""
    step = json.loads(text)
    is_open = any(each["state"] == "open" for each in (step.get("attempts") or {}).values())
    return is_open, "outcome" in step, int(step.get("wave") or 1)


def main(folder: str) -> int:
    """Replay what one server wrote; 1 if a transition was not allowed."""
    trace = replay(commands(Path(folder)))
    print(f"{trace.operations} operations, {trace.transitions} transitions, {len(trace.wrong)} not allowed")
    for change, count in trace.came_to.most_common():
        print(f"  {count:8,}  {change}")
    print(*trace.wrong[:SHOWN], sep="\n")
    return 1 if trace.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
