"""What the demo shows: a table that grows in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lockstep.producer.cli.commands.watch import NewLines
from lockstep.worker.operation.model import Outcome, State, Status, Step, Undo
from lockstep.worker.operation.story import in_brief, story
from lockstep.worker.operation.waves import told_rollout

STATE_STYLES = {State.COMMITTED: "bold green", State.ROLLED_BACK: "bold yellow"}
BAD = frozenset({Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.UNKNOWN})
INDENT = (0, 0, 0, 3)
WORTH_TELLING = 500
"""Milliseconds between the answer to the caller and the release of the lock."""


class ProgressTable:
    """One operation on the screen, from its start to its end."""

    def __init__(self, console: Console, title: str, operation: Status, steps: Sequence[Step]) -> None:
        self._console = console
        self._title = title
        self._began = time.monotonic()
        self._operation, self._steps = operation, steps
        self._changes = NewLines()
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=12, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._console.print(f"   {self._title}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, operation: Status, steps: Sequence[Step]) -> None:
        self._operation, self._steps = operation, steps
        if self._console.is_terminal:
            return
        hosts = [(step.host, f"{step.host}  {words}") for step in steps if (words := told(operation, step))]
        for line in self._changes.of([*hosts, ("", standing(operation))]):
            self._console.print(f"   {time.monotonic() - self._began:5.1f} s  {line}")

    def finish(self, now: Mapping[str, Text]) -> None:
        """Print the table as it is at the end, with what each node itself says now."""
        head = Text(f"{self._title}  ").append_text(verdict(self._operation))
        if self._operation.reason:
            head.append(f"\nbecause {self._operation.reason}", style="dim")
        shown = Group(head, Text(), table(self._operation, self._steps, now), Text())
        self._console.print(Padding(shown, INDENT, expand=False))

    def _render(self) -> RenderableType:
        words = standing(self._operation)
        self._spinner.update(text=f"{self._title}  {words}  {time.monotonic() - self._began:.1f} s")
        return Padding(Group(self._spinner, Text(), table(self._operation, self._steps, {})), INDENT)


def table(operation: Status, steps: Sequence[Step], now: Mapping[str, Text]) -> Table:
    made = Table(box=None, header_style="dim", padding=(0, 3, 0, 0))
    waves = ["wave"] if operation.rollout else []
    for column in ("host", *waves, "before", "outcome", "attempts", "now"):
        made.add_column(column, no_wrap=True)
    for step in steps:
        before = Text(step.before.presence) if step.before else Text("–", "dim")
        came = outcome(operation, step)
        wave = [Text(str(step.wave))] if waves else []
        made.add_row(Text(step.host), *wave, before, came, attempts(step), now.get(step.host, Text("")))
    return made


def outcome(operation: Status, step: Step) -> Text:
    """Say what a step came to, and what was undone: nothing, where nothing was changed.

    Of a host that was still at work when it was decided, its story tells what happened to it.
    """
    came = story(operation.action, step, operation.decided_at)
    if step.outcome is None:
        if step.touched and operation.decided_at is not None:
            return Text(in_brief(came, step), "yellow")
        return Text("…" if step.touched else "–", "dim")
    words = Text(step.outcome, "red" if step.outcome in BAD else "green")
    if came.changed is False:
        return words
    if step.undo is Undo.NEEDED:
        words.append(", to be restored", "yellow")
    elif step.undo is not Undo.NONE:
        words.append(f", {step.undo}", "yellow")
    return words


def attempts(step: Step) -> Text:
    words = Text(str(step.writes) if step.touched else "–", "" if step.touched else "dim")
    if undoing := sum(attempt.undo for attempt in step.attempts):
        words.append(f" + {undoing} to undo", "yellow")
    return words


def told(operation: Status, step: Step) -> str:
    """Say in plain words how a step stands; empty before anything happened to it."""
    if step.outcome is not None or (step.touched and operation.decided_at is not None):
        return outcome(operation, step).plain
    if step.touched:
        return f"attempt {step.writes}"
    return f"no answer, {step.misses} in a row" if step.misses else ""


def standing(operation: Status) -> str:
    if operation.state is State.APPLYING:
        waves = f"{told_rollout(operation.rollout)}, " if operation.rollout else ""
        return f"applying, {waves}{operation.hosts_done} of {operation.hosts_total} hosts done"
    words = operation.state.replace("_", " ")
    if operation.settling and not operation.ended:
        return f"{words}; locked until its lost writes settle"
    return f"{words}; restoring {', '.join(operation.pending_hosts)}" if operation.pending_hosts else words


def verdict(operation: Status) -> Text:
    """Say how an operation ended, and how long that took by the record's own clock."""
    began = operation.created_at
    ended = operation.ended_at or began
    answered = operation.decided_at or ended if operation.state is State.COMMITTED else ended
    words = Text(operation.state, STATE_STYLES.get(operation.state, "bold red"))
    words.append(f" in {(answered - began) / 1000:.1f} s", "default")
    if ended - answered > WORTH_TELLING:
        words.append(f"; lost writes settled after {(ended - began) / 1000:.1f} s", "dim")
    return words
