"""All that a run leaves behind for the checker, and how it is kept when the run failed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockstep.worker.operation.model import Attempt, OperationId, Status, Step
from tests.chaos.histories import History, Place
from tests.chaos.journal import Journal
from tests.chaos.lanes import Event
from tests.chaos.orders import Told
from tests.chaos.watcher import Sample

RAISED = re.compile(
    r"Task (lockstep\.\w+\[[^\n\]]*\] raised unexpected: [^\n]{1,80})([\s\S]*?)(?=^\[\d{4}-|\Z)", re.MULTILINE
)
ENDED = re.compile(
    r"Unrecoverable error: (?!'Redis cannot be asked: Too many open files)[^\n]{1,120}"
    r"|A message of \d+ bytes was dropped: [^\n]{1,120}"
)
"""A worker that needs a connection and may open none ends, says so, and is started again."""
KILLED_AT_ITS_START = re.compile(
    r"exited with 'signal 9 \(SIGKILL\)'\n"
    r"\[[^\n]*Unrecoverable error: WorkerLostError\('Could not start[^\n]*"
)
"""So does one of whose processes one is killed while it starts: Celery looks once whether all are there."""
OURS = "/worker/tasks/"
Bodies = Mapping[Place, Mapping[str, object]]
"""What hosts hold: the body of each group that is present."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An operation as the record has it, with its steps."""

    operation: Status
    steps: tuple[Step, ...]

    @property
    def attempts(self) -> Mapping[str, Attempt]:
        """Every attempt by its id."""
        return {attempt.id: attempt for step in self.steps for attempt in step.attempts}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the checker judges."""

    planted: Bodies
    """Before the first operation."""
    final: Bodies
    """After the last."""
    history: History
    journal: Journal
    record: Mapping[OperationId, Ended]
    told: Told
    samples: Sequence[Sample]
    events: Sequence[Event]
    raised: Sequence[str]
    """What tasks raised and what ended workers, as their logs have it."""
    healed_at: float
    """When the last fault was over, in Unix seconds."""
    settle: float
    """Seconds in which a host is through with a write that is no longer in our own hands."""


def raised(logs: Iterable[Path]) -> list[str]:
    """Read from workers' logs what Lockstep's tasks raised, what ended a worker that nobody killed, and which
    messages were dropped: all of them are ours.

    Retry and Reject are no failures, and what Celery raises when it counts a chord's part is not ours.
    """
    texts = [log.read_text("utf-8", "replace") for log in logs]
    tasks = [said for text in texts for said, trace in RAISED.findall(text) if OURS in trace]
    ended = (KILLED_AT_ITS_START.sub("", text) for text in texts)
    return [*tasks, *(said for text in ended for said in ENDED.findall(text))]


def keep(directory: Path, evidence: Evidence, violations: Sequence[str]) -> None:
    """Write down what is not in a file already, for whoever looks into a failure."""
    events = [
        f"{event.began:.3f} {event.ended:.3f} {event.kind}: {event.detail}" for event in evidence.events
    ]
    (directory / "schedule.txt").write_text("\n".join(events) + "\n")
    (directory / "violations.txt").write_text("\n".join(violations) + "\n")
    with (directory / "record.jsonl").open("w") as file:
        for each in evidence.record.values():
            file.write(
                json.dumps({"operation": repr(each.operation), "steps": [repr(s) for s in each.steps]}) + "\n"
            )
