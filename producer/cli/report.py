"""An operation with its timeline as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import count
from string import Template
from types import MappingProxyType

from lockstep.producer.cli.output import printable
from lockstep.producer.cli.text import event_row, facts_of, hosts_told
from lockstep.producer.operators.history import MEANINGS, NO_METHODS, Methods, last_moment, timeline
from lockstep.worker.operation.model import Attempt, AttemptState, HostName, Millis, Status, Step
from lockstep.worker.operation.names import alike, seconds
from lockstep.worker.operation.story import call, in_brief, story
from lockstep.worker.operation.waves import told_moment

PAGE = Template((files("lockstep.producer.cli") / "report.html").read_text("utf-8"))
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
        share = min(1.0, max(0.0, (at - self.start) / self.span))
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def chart(operation: Status, steps: Sequence[Step], end: Millis, methods: Methods = NO_METHODS) -> str:
    """Return the whole picture, from the acceptance to `end`."""
    scale = Scale(operation.created_at, end)
    rows: list[str] = []
    y = TOP
    for step in steps:
        row, height = _row(operation, step, scale, y, methods)
        rows.append(row)
        y += height
    height = y + BOTTOM
    name = escape(f"Timeline of {operation.verb} {operation.group}")
    opening = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}">'
    axis, marks = _axis(scale, height), _marks(operation, scale, height)
    return "\n".join((opening, STRIPES, *axis, *rows, *marks, "</svg>"))


def lanes(attempts: Sequence[Attempt], end: Millis, apart: int) -> list[int]:
    """Return a lane for each attempt: bars in one never overlap, and last `apart` milliseconds at least."""
    free: list[int] = []
    chosen = []
    for attempt in attempts:
        until = max(attempt.closed_at or end, attempt.opened_at + apart)
        lane = next((n for n, at in enumerate(free) if at <= attempt.opened_at), len(free))
        free[lane : lane + 1] = [until]
        chosen.append(lane)
    return chosen


def _row(operation: Status, step: Step, scale: Scale, y: int, methods: Methods) -> tuple[str, int]:
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
        left, right = scale.x(attempt.opened_at), scale.x(attempt.closed_at or scale.end)
        across = f'x="{left:.1f}" width="{max(NARROWEST, right - left):.1f}"'
        place = f'{across} y="{y + PAD / 2 + 2 + lane * LANE:.1f}" height="{BAR}" rx="2.5"'
        bar = f'<rect class="bar {attempt.state}" {place}/>'
        stripes = f'<rect {place} fill="url(#stripes)"/>' if attempt.undo else ""
        text = _text(describe(operation, step, attempt, methods))
        parts.append(f"<g><title>{text}</title>{bar}{stripes}</g>")
    return "\n".join(parts), height


def describe(operation: Status, step: Step, attempt: Attempt, methods: Methods) -> str:
    at = seconds(attempt.opened_at - operation.created_at)
    undo = " to undo" if attempt.undo else ""
    said = attempt.answer or "no answer recorded"
    return (
        f"{call(operation.action, step, attempt, methods)}{undo} at +{at}: {said}; "
        f"{attempt.state.replace('_', ' ')}: {MEANINGS[AttemptState(attempt.state)]}"
    )


def came_to(operation: Status, step: Step) -> str:
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


def _marks(operation: Status, scale: Scale, height: int) -> list[str]:
    moments = operation.rollout.moments if operation.rollout else ()
    marks = [("moment", told_moment(each) + (each.said and f" by {each.said}"), each.at) for each in moments]
    if operation.decided_at is not None:
        marks.append(("mark", f"decided: {operation.decision}".replace("_", " "), operation.decided_at))
    drawn = []
    for kind, text, at in marks:
        x = scale.x(at)
        line = f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 6}"/>'
        drawn.append(f"<g><title>{_text(text)}</title>{line}</g>")
    return drawn


def tick(span: int) -> int:
    """Return a round number of milliseconds, so that at most some eight ticks are drawn."""
    rounded = (factor * int(10**power) for power in count() for factor in STEPS)
    return next(each for each in rounded if span / each <= TICKS)


EVENTS = ("After", "Host", "What", "What came back", "Known as", "Known after")


def page(
    operation: Status,
    steps: Sequence[Step],
    now: Millis,
    differences: Mapping[HostName, Sequence[str]] = MappingProxyType({}),
    methods: Methods = NO_METHODS,
) -> str:
    """Return the page as HTML; `now` ends the picture of an operation that has not ended.

    `differences` tell of a thing what was to change on each host, a line each.
    """
    end = max(operation.ended_at or now, last_moment(operation, steps))
    settling = ", settling" if operation.settling else ""
    return PAGE.substitute(
        title=_text(f"{operation.verb} {operation.group}"),
        state=_text(operation.state.replace("_", " ") + settling),
        colour=operation.state,
        reason=f'<p class="reason">{_text(operation.reason)}</p>' if operation.reason else "",
        facts=_facts(operation, end),
        chart=chart(operation, sorted(steps, key=lambda step: step.wave), end, methods),
        legend=_legend(operation.rollout is not None),
        hosts=_table(*hosts_told(operation, steps)),
        differences=_differences(differences),
        events=_table(EVENTS, (event_row(operation, each) for each in timeline(operation, steps, methods))),
        id=operation.id,
    )


def _differences(found: Mapping[HostName, Sequence[str]]) -> str:
    if not found:
        return ""
    signs = {"+": "new", "-": "old"}

    def told(hosts: str, lines: Sequence[str]) -> str:
        shown = (
            f'<span class="{signs.get(line[0], "")}">{_text(line)}</span>' for line in lines or ("as asked",)
        )
        return f"<dt>{_text(hosts)}</dt><dd><pre>{chr(10).join(shown)}</pre></dd>"

    same = ((host, tuple(lines)) for host, lines in found.items())
    listed = "".join(told(", ".join(hosts), lines) for lines, hosts in alike(same))
    return f"<h2>What was to change</h2>\n<dl>{listed}</dl>\n"


def _facts(operation: Status, end: Millis) -> str:
    """Return what the head of the page does not say."""
    lasted = seconds(end - operation.created_at) + ("" if operation.ended else " so far")
    facts = {**dict(facts_of(operation, None)), "lasted": lasted}
    shown = (
        f"<div><dt>{name.capitalize()}</dt><dd>{_text(value)}</dd></div>"
        for name, value in facts.items()
        if name not in (operation.verb, "state", "reason")
    )
    return f"<dl>{''.join(shown)}</dl>"


def _legend(waves: bool) -> str:
    items = [f'<li><span class="key {state}"></span>{state.replace("_", " ")}</li>' for state in MEANINGS]
    items.append('<li><span class="key not_applied striped"></span>striped: to undo</li>')
    items.append("<li>dashed line: the decision</li>")
    if waves:
        items.append("<li>dotted lines: waves, rounds of the gate, holds</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{name.capitalize()}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _text(value: object) -> str:
    return escape(printable(str(value)))
