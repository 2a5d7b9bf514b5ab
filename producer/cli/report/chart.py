"""The timeline as inline SVG: a row per host, a bar per attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lockstep.producer.cli.output import printable
from lockstep.producer.timeline import MEANINGS, method
from lockstep.producer.wording import seconds
from lockstep.worker.operation.model import Attempt, AttemptState, Millis, Operation, Step
from lockstep.worker.operation.story import in_brief, story

WIDTH, LEFT, RIGHT = 1120, 150, 190
TOP, BAR, LANE, PAD, BOTTOM = 34, 11, 15, 9, 12
NARROWEST = 4.0
"""Pixels: a write of a few milliseconds must still be seen."""
LABEL = 20
TICKS = 8
STEPS = (1, 2, 5)
STRIPES = """<defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse"
patternTransform="rotate(45)"><rect class="stripe" width="2.5" height="6"/></pattern></defs>"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Time -> pixels."""

    start: Millis
    end: Millis

    @property
    def span(self) -> int:
        """Milliseconds that are shown, one at least."""
        return max(1, self.end - self.start)

    def x(self, at: int) -> float:
        """Return where a moment is drawn."""
        share = min(1.0, max(0.0, (at - self.start) / self.span))
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def chart(operation: Operation, steps: Sequence[Step], end: Millis) -> str:
    """Return the whole picture, from the acceptance to `end`."""
    scale = Scale(operation.created_at, end)
    rows: list[str] = []
    y = TOP
    for step in steps:
        row, height = _row(operation, step, scale, y)
        rows.append(row)
        y += height
    height = y + BOTTOM
    name = escape(f"Timeline of {operation.action} {operation.group}")
    opening = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}">'
    axis, marks = _axis(scale, height), _marks(operation, scale, height)
    return "\n".join((opening, STRIPES, *axis, *rows, *marks, "</svg>"))


def lanes(attempts: Sequence[Attempt], end: Millis, apart: int = 0) -> list[int]:
    """Return a lane for each attempt, so that those drawn beside one another never overlap.

    `apart` is how many milliseconds the narrowest bar seems to last.
    """
    free: list[int] = []
    chosen = []
    for attempt in attempts:
        until = max(attempt.closed_at or end, attempt.opened_at + apart)
        lane = next((n for n, at in enumerate(free) if at <= attempt.opened_at), len(free))
        free[lane : lane + 1] = [until]
        chosen.append(lane)
    return chosen


def _row(operation: Operation, step: Step, scale: Scale, y: int) -> tuple[str, int]:
    apart = round((NARROWEST + 1) / (WIDTH - LEFT - RIGHT) * scale.span)
    chosen = lanes(step.attempts, scale.end, apart)
    height = LANE * (max(chosen, default=0) + 1) + PAD
    middle = y + height / 2 + 4
    came = escape(came_to(operation, step))
    shown = step.host if len(step.host) <= LABEL else f"{step.host[: LABEL - 1]}…"
    parts = [
        f'<line class="grid" x1="12" x2="{WIDTH - 12}" y1="{y}" y2="{y}"/>',
        f'<text x="16" y="{middle:.1f}">{escape(shown)}<title>{escape(step.host)}</title></text>',
        f'<text class="faint" x="{WIDTH - RIGHT + 14}" y="{middle:.1f}">{came}</text>',
    ]
    for attempt, lane in zip(step.attempts, chosen, strict=True):
        parts.append(_bar(operation, attempt, scale, y + PAD / 2 + 2 + lane * LANE))
    return "\n".join(parts), height


def _bar(operation: Operation, attempt: Attempt, scale: Scale, y: float) -> str:
    left, right = scale.x(attempt.opened_at), scale.x(attempt.closed_at or scale.end)
    width = max(NARROWEST, right - left)
    place = f'x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2.5"'
    stripes = f'<rect {place} fill="url(#stripes)"/>' if attempt.undo else ""
    title = escape(printable(describe(operation, attempt)))
    return f'<g><title>{title}</title><rect class="bar {attempt.state}" {place}/>{stripes}</g>'


def describe(operation: Operation, attempt: Attempt) -> str:
    """Return one line on an attempt."""
    at = seconds(attempt.opened_at - operation.created_at)
    undo = " to undo" if attempt.undo else ""
    said = attempt.answer or "no answer recorded"
    return (
        f"{method(operation.action, attempt)}{undo} at +{at}: {said}; "
        f"{attempt.state.replace('_', ' ')}: {MEANINGS[AttemptState(attempt.state)]}"
    )


def came_to(operation: Operation, step: Step) -> str:
    """Return what happened to a host, in two words."""
    return in_brief(story(operation.action, step, operation.decided_at), step)


def _axis(scale: Scale, height: int) -> list[str]:
    step = tick(scale.span)
    parts = []
    for at in range(0, scale.span + 1, step):
        x = scale.x(scale.start + at)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 6}"/>')
        parts.append(
            f'<text class="faint" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{seconds(at)}</text>'
        )
    return parts


def _marks(operation: Operation, scale: Scale, height: int) -> list[str]:
    if operation.decided_at is None:
        return []
    x = scale.x(operation.decided_at)
    decided = escape(f"decided: {operation.decision}".replace("_", " "))
    line = f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 6}"/>'
    return [f"<g><title>{decided}</title>{line}</g>"]


def tick(span: int) -> int:
    """Return a round number of milliseconds, so that at most some eight ticks are drawn."""
    power = 1
    while True:
        for factor in STEPS:
            if span / (factor * power) <= TICKS:
                return factor * power
        power *= 10
