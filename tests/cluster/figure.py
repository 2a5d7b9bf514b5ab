"""What was seen each second, as a picture: workers, and hosts changed a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from html import escape
from typing import Final

from tests.cluster.hosts import Hosts
from tests.cluster.kubelet import Kubelet

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 930, 400, 60, 60, 78, 44
WINDOW: Final = 5
"""Seconds over which the rate is drawn: operations of many hosts come in gusts."""


@dataclass(slots=True)
class Timeline:
    """Looks once a second, from `start` on."""

    hosts: Hosts
    kubelet: Kubelet
    rows: list[tuple[int, int]] = field(default_factory=list)
    """Workers that run, and hosts changed since the beginning; one for each second."""
    marks: list[tuple[int, str]] = field(default_factory=list)
    """What was done, and in which second."""

    stopped: threading.Event = field(default_factory=threading.Event)
    """Nothing is of interest any more."""

    def start(self) -> None:
        threading.Thread(target=self._look, daemon=True).start()

    def mark(self, what: str) -> int:
        """Write down that something is done now; return the second."""
        second = len(self.rows)
        self.marks.append((second, what))
        print(f"{second:4} s  {what}", flush=True)
        return second

    def rate(self, since: int, until: int | None = None) -> float:
        """Return hosts changed a second between two seconds."""
        until = len(self.rows) - 1 if until is None else until
        return (self.rows[until][1] - self.rows[since][1]) / (until - since)

    def _look(self) -> None:
        began = time.monotonic()
        while not self.stopped.wait(began + len(self.rows) - time.monotonic()):
            self.rows.append((len(self.kubelet.of("worker-operations")), self.hosts.changes))

    def draw(self) -> str:
        """Return the picture as SVG."""
        seconds = max(len(self.rows) - 1, 1)
        rates = [self.rate(max(0, n - WINDOW), n) if n else 0.0 for n in range(len(self.rows))]
        most_hosts = max(50, -(-max(rates) // 50) * 50)
        most_workers = max(workers for workers, _ in self.rows) + 1

        def place(second: int, share: float) -> str:
            across = LEFT + second / seconds * (WIDTH - LEFT - RIGHT)
            return f"{across:.1f},{HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM):.1f}"

        drawn = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
            'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="{LEFT}" y="16" fill="#1f77b4">hosts changed a second (mean of {WINDOW} s)</text>',
            f'<text x="{WIDTH - RIGHT}" y="16" text-anchor="end" fill="#d62728">worker pods</text>',
        ]
        for step in range(6):
            rate, height = most_hosts * step / 5, HEIGHT - BOTTOM - step / 5 * (HEIGHT - TOP - BOTTOM)
            drawn.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
            drawn.append(f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{rate:g}</text>')
        for workers in range(most_workers + 1):
            _, up = place(0, workers / most_workers).split(",")
            drawn.append(f'<text x="{WIDTH - RIGHT + 8}" y="{float(up) + 4:.1f}">{workers}</text>')
        for second in range(0, seconds + 1, 60):
            x, _ = place(second, 0).split(",")
            drawn.append(f'<text x="{x}" y="{HEIGHT - 24}" text-anchor="middle">{second} s</text>')
        for number, (second, what) in enumerate(self.marks):
            x, y = place(second, 0).split(",")[0], 34 + number % 4 * 12
            drawn.append(f'<path d="M{x} {TOP - 6}V{HEIGHT - BOTTOM}" stroke="#999" stroke-dasharray="3 3"/>')
            drawn.append(f'<text x="{float(x) + 3:.1f}" y="{y}" font-size="10">{escape(what)}</text>')
        steps = []
        for second, (workers, _) in enumerate(self.rows):
            at = place(second, workers / most_workers)
            steps.append(f"{at} {place(min(second + 1, seconds), workers / most_workers)}")
        line = " ".join(place(second, rate / most_hosts) for second, rate in enumerate(rates))
        drawn.append(
            f'<polyline points="{" ".join(steps)}" fill="none" stroke="#d62728" stroke-width="1.5"/>'
        )
        drawn.append(f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="2"/>')
        return "\n".join([*drawn, "</svg>\n"])
