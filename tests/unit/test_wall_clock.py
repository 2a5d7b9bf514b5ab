"""Who reads the wall clock: every module that does is in docs/design.md, and what decides never does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.unit.imported import used

ROOT = Path(__file__).parents[2]
WALL = frozenset(
    [
        *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime"),
        *("time.CLOCK_REALTIME", "time.CLOCK_TAI", "email.utils.localtime", "email.utils.formatdate"),
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
        "datetime.date.today",
    ]
)


def reads_wall_clock(code: str) -> bool:
    return not WALL.isdisjoint(used(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.time()",
        "import time as clock; clock.time_ns()",
        "from time import time; time()",
        "from time import time as now; field(default_factory=now)",
        "import time; time.clock_gettime(time.CLOCK_REALTIME)",
        "import datetime; datetime.datetime.now()",
        "import datetime as d; d.datetime.utcnow()",
        "from datetime import datetime; datetime.now(UTC)",
        "from datetime import datetime as moment; moment.today()",
        "from datetime import date; date.today()",
        "def later():\n    from time import time_ns\n    return time_ns",
    ],
)
def test_a_reader_is_seen_however_it_imports(code: str) -> None:
    assert reads_wall_clock(code)


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.monotonic()",
        "from time import monotonic as time; time()",
        "from datetime import datetime; datetime.fromtimestamp(1)",
        "def read(time): return time.time()",
    ],
)
def test_who_reads_another_clock_is_no_reader(code: str) -> None:
    assert not reads_wall_clock(code)


def test_the_wall_clock_is_read_only_where_docs_design_says_why() -> None:
    page = (ROOT / "docs/design.md").read_text("utf-8").split("## Clocks", 1)[1].split("\n## ", 1)[0]
    modules = [path for part in ("worker", "producer") for path in (ROOT / part).rglob("*.py")]
    readers = {str(path.relative_to(ROOT)) for path in modules if reads_wall_clock(path.read_text("utf-8"))}
    assert readers == set(re.findall(r"`((?:worker|producer)/[^`]+\.py)`", page))
