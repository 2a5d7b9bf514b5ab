"""results.svg: time against the number of hosts, both logarithmic."""

from __future__ import annotations

import math
from html import escape

from benchmarks.figures import Figures
from benchmarks.peers import NAMES, peer
from benchmarks.samples import Case

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 930, 520, 70, 40, 320, 60
COLOURS = [
    "#555",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#bcbd22",
    "#ff7f0e",
    "#7f7f7f",
    "#1f77b4",
    "#17becf",
    "#2ca02c",
    "#000080",
]
"""In the order of the candidates, one for each."""


def plot(figures: Figures) -> str:
    """Return the picture of creating at 20 ms."""
    lines = {name: _points(figures, name) for name in NAMES}
    every = [point for points in lines.values() for point in points]
    if not every:
        return ""
    low = (1.0, math.log10(min(time for _, time in every)))
    high = (math.log10(max(100, *(hosts for hosts, _ in every))), math.log10(max(t for _, t in every)))
    low = (math.log10(min(hosts for hosts, _ in every)), math.floor(low[1]))
    high = (high[0], math.ceil(high[1]))

    def place(hosts: float, time: float) -> tuple[float, float]:
        across = (math.log10(hosts) - low[0]) / (high[0] - low[0] or 1)  # of one size there is nothing across
        up = (math.log10(time) - low[1]) / max(high[1] - low[1], 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">Create on all hosts, 20 ms a call: seconds</text>',
    ]
    for size in (5, 10, 100, 1000, 5000, 10_000, 50_000):
        if low[0] <= math.log10(size) <= high[0]:
            x, _ = place(size, 10 ** low[1])
            drawn.append(f'<path d="M{x:.0f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
            drawn.append(f'<text x="{x:.0f}" y="{HEIGHT - 38}" text-anchor="middle">{size}</text>')
    for power in range(int(low[1]), int(high[1]) + 1):
        _, y = place(10 ** low[0], 10.0**power)
        drawn.append(f'<path d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g}</text>')
    drawn.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">hosts</text>'
    )
    shown = [name for name in NAMES if lines[name]]
    for row, name in enumerate(shown):
        colour = COLOURS[NAMES.index(name)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in lines[name]))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        y = TOP + 20 + 24 * row
        x = WIDTH - RIGHT + 15
        drawn.append(f'<path d="M{x} {y}h22" stroke="{colour}" stroke-width="3"/>')
        drawn.append(f'<text x="{x + 30}" y="{y + 4}">{escape(peer(name).title)}</text>')
    return "\n".join([*drawn, "</svg>\n"])


def _points(figures: Figures, name: str) -> list[tuple[int, float]]:
    sizes = sorted(case.hosts for one, case in figures.samples if one == name and case == Case(case.hosts))
    times = [(size, figures.median(name, Case(size))) for size in sizes]
    return [(size, time) for size, time in times if time is not None]
