"""`make demo`: what it promises, and that nothing of it is left, whenever it is stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstep.producer.demo.play import SETTINGS
from lockstep.worker.settings import load_settings
from tests import picture
from tests.leftovers import Pen
from tests.waits import PATIENCE, eventually

LONGEST = 60.0
"""Seconds that the demo may wait for, with what it does in them apart: a machine that is busy is slower."""
HUNG = 10 * LONGEST
ROW = re.compile(r"^   node\d .* (\d+) +(?:present|absent)", re.MULTILINE)

ENDS = [
    ("create", "team-a", "committed"),
    ("create", "team-b", "rolled_back"),
    ("delete", "team-a", "rolled_back"),
    ("delete", "team-a", "committed"),
    ("create", "team-c", "rolled_back"),
]

# Whatever cluster a shell is set up for, the demo must not touch it.
ELSEWHERE = {"LOCKSTEP_REDIS_URL": "redis://127.0.0.1:1/0", "LOCKSTEP_HOSTS": "http://127.0.0.1:2"}


def start(pen: Pen, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "lockstep.producer.demo"],
            cwd=pen.work,
            env=pen.environment({**ELSEWHERE, "COLUMNS": "100"}),
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def longest(shown: str) -> float:
    """Return for how many seconds silent nodes can have kept the demo waiting, by its settings."""
    settings = load_settings(**SETTINGS)
    settling = settings.send_within + settings.call_timeout + settings.settle_seconds
    waits = 0.0
    for operation in shown.split("   HOST  ")[1:]:
        writes = max(map(int, ROW.findall(operation)))
        backoff = sum(settings.forward_backoff.ceiling(number) for number in range(1, writes + 1))
        # A look and a write, each without an answer.
        waits += writes * 2 * settings.read_timeout + backoff + settling
        waits += settings.patience if "not sent: connection refused" in operation else 0.0
    return waits


def squeezed(lines: list[str]) -> str:
    """Columns and ends of lines depend on the width."""
    return re.sub(r"\s", "", "".join(lines))


def test_the_demo_ends_as_promised_and_leaves_nothing(tmp_path: Path) -> None:
    pen, output = Pen.under(tmp_path), tmp_path / "output"
    with start(pen, output) as demo:
        try:
            demo.wait(HUNG)
        finally:
            demo.kill()
    shown = output.read_text("utf-8")
    assert demo.returncode == 0, shown
    assert 0 < longest(shown) < LONGEST
    assert re.findall(r"(create|delete) (team-[abc])  (committed|rolled_back) in", shown) == ENDS
    assert re.search(r"node2 +present +not changed +0 +present, untouched ✓", shown)
    for path, acts in picture.SHOWN.items():
        drawn = picture.drawn(path.read_text("utf-8"))
        assert squeezed(picture.shown(shown, acts)) == squeezed(drawn), path
    assert re.search(r"node2 +2 +- +not changed +0 +absent ✓", shown), "a host of a wave that never opened"
    assert shown.count("✓") == 25
    assert "✗" not in shown
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []
    assert pen.left() == []


def starting(pen: Pen, output: Path) -> bool:
    return any(path.is_dir() for path in pen.temporary.iterdir())  # Python tries the place out with a file


def under_way(pen: Pen, output: Path) -> bool:
    return "is under way" in output.read_text("utf-8")


def rolling_back(pen: Pen, output: Path) -> bool:
    return "rolling_back" in output.read_text("utf-8")


@pytest.mark.parametrize("moment", [starting, under_way, rolling_back])
def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, moment: Callable[[Pen, Path], bool]) -> None:
    pen, output = Pen.under(tmp_path), tmp_path / "output"
    with start(pen, output) as demo:
        try:
            eventually(lambda: moment(pen, output), moment.__name__, HUNG)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(PATIENCE) == 130
        finally:
            demo.kill()
    shown = output.read_text("utf-8")
    assert "Traceback" not in shown
    assert shown.endswith("Stopped; nothing is left running.\n")
    assert pen.left() == []
