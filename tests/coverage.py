"""Branch coverage of the worker and the producer: `python -m tests.coverage`; 1 when it is below the bounds.

What no test of these suites runs is listed in `build/uncovered.txt`, also files that none of them imports.
Integration and chaos are left out: they run nearly all of it, and check little of what single lines do. What
these suites start as processes counts too, unless it is forked or killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEFT = ROOT / "build" / "uncovered.txt"
SUITES = ("unit", "contract", "simulation")
BOUNDS = {"worker": 95.0, "producer": 90.0}
"""Percent of lines and branches."""
CONFIG = """\
[run]
branch = true
patch = subprocess
parallel = true
source_dirs =
    worker
    producer
[report]
exclude_also =
    if TYPE_CHECKING:
    ^ *\\.\\.\\.$
"""


def main() -> int:
    """Run the suites under coverage, list what is left, and sum up."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell starts what is deaf
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "coveragerc"
        config.write_text(CONFIG, "utf-8")
        files = {"COVERAGE_FILE": str(Path(folder) / "data"), "COVERAGE_RCFILE": str(config)}

        def run(*arguments: str) -> int:
            command = [sys.executable, "-B", "-m", *arguments]
            return subprocess.run(command, cwd=ROOT, env={**os.environ, **files}, check=False).returncode

        for suite in SUITES:
            if run("coverage", "run", "-m", "pytest", "-q", f"tests/{suite}"):
                print(f"{suite} failed: what it covers counts all the same")
        run("coverage", "combine", "-q")
        report = Path(folder) / "report.json"
        run("coverage", "json", "-q", "-o", str(report))
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))["files"]
    LEFT.parent.mkdir(exist_ok=True)
    LEFT.write_text("".join(_left(path, each) for path, each in sorted(found.items())), "utf-8")
    print(f"what is left is listed in {LEFT.relative_to(ROOT)}")
    below = [part for part in BOUNDS if _below(part, found)]
    return 1 if below else 0


def _below(part: str, found: dict[str, Any]) -> bool:
    """Say how much of a part is covered, and whether that is too little."""
    sums: Counter[str] = Counter()
    for path, each in found.items():
        if part in Path(path).parts[:2]:
            sums.update({name: each["summary"][name] for name in COUNTED})
    lines, branches = sums["num_statements"], sums["num_branches"]
    share = 100 * (sums["covered_lines"] + sums["covered_branches"]) / (lines + branches)
    print(f"{part}: {share:.1f} % of {lines} lines and {branches} branches; {BOUNDS[part]:g} % are due")
    return share < BOUNDS[part]


COUNTED = ("covered_lines", "covered_branches", "num_statements", "num_branches")


def _left(path: str, of: dict[str, Any]) -> str:
    lines, branches = of["missing_lines"], of["missing_branches"]
    if not lines and not branches:
        return ""
    text = (ROOT / path).read_text("utf-8").splitlines()
    told = [f"  {number}: {text[number - 1].strip()}" for number in lines]
    told += [
        f"  {first} never goes to {then if then > 0 else 'the end'}: {text[first - 1].strip()}"
        for first, then in branches
        if first not in lines and then not in lines
    ]
    return "\n".join([f"{path}: {of['summary']['percent_covered']:.0f} %", *told, ""])


if __name__ == "__main__":
    sys.exit(main())
