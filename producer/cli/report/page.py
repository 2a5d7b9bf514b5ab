"""The page: what the operation was, its picture, its hosts, and every event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lockstep.producer.cli.output import printable
from lockstep.producer.cli.report.chart import chart
from lockstep.producer.cli.report.style import STYLE
from lockstep.producer.cli.rows import event_row, host_row
from lockstep.producer.results import host_result
from lockstep.producer.timeline import MEANINGS, last_moment, timeline
from lockstep.producer.wording import seconds
from lockstep.worker.operation.model import Millis, Operation, Step
from lockstep.worker.operation.moment import local

HOSTS = ("Host", "Before", "What happened", "Writes", "Note")
EVENTS = ("After", "Host", "What", "What came back", "Known as", "Known after")


def page(operation: Operation, steps: Sequence[Step], now: Millis) -> str:
    """Return the page as HTML; `now` ends the picture of an operation that has not ended."""
    title = f"{operation.action} {operation.group}"
    end = operation.ended_at or max(now, last_moment(operation, steps))
    end = max(end, last_moment(operation, steps))
    settling = ", settling" if operation.settling else ""
    state = operation.state.replace("_", " ") + settling
    reason = f'<p class="reason">{_text(operation.reason)}</p>' if operation.reason else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(title)}: {_text(state)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{_text(title)}: <span class="state {operation.state}">{_text(state)}</span></h1>
{reason}
{_facts(operation, end)}
<h2>Timeline</h2>
<div class="wide">
{chart(operation, steps, end)}
</div>
{_legend()}
<h2>Hosts</h2>
{_table(HOSTS, (host_row(host_result(operation, step)) for step in steps))}
<h2>Events</h2>
{_table(EVENTS, (event_row(operation, each) for each in timeline(operation, steps)))}
<footer>Operation <code>{operation.id}</code>. Times are in the zone of whoever made this page.</footer>
</body>
</html>
"""


def _facts(operation: Operation, end: Millis) -> str:
    lasted = seconds(end - operation.created_at) + ("" if operation.ended else " so far")
    facts = (
        ("Operation", operation.id),
        ("Hosts", f"{operation.hosts_done} of {operation.hosts_total} done"),
        ("Asked by", operation.created_by),
        ("Accepted", _at(operation.created_at)),
        ("Decided", _at(operation.decided_at)),
        ("Ended", _at(operation.ended_at)),
        ("Lasted", lasted),
        ("Still to be restored", ", ".join(operation.pending_hosts)),
    )
    shown = (f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts if value)
    return f"<dl>{''.join(shown)}</dl>"


def _at(at: Millis | None) -> str | None:
    return None if at is None else local(at)


def _legend() -> str:
    items = [f'<li><span class="key {state}"></span>{_known_as(state)}</li>' for state in MEANINGS]
    items.append('<li><span class="key not_applied striped"></span>striped: to undo</li>')
    items.append("<li>dashed line: the decision</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def _known_as(state: str) -> str:
    return state.replace("_", " ")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _text(value: object) -> str:
    return escape(printable(str(value)))
