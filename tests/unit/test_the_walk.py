"""What docs/design.md sends a reader to is there: the walk, the mechanisms, and where threads meet."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.unit.imported import called

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/design.md").read_text("utf-8")
WALK = PAGE.split("## The walk\n", 1)[1].split("\n## ", 1)[0]
WALKS = re.split(r"^From .*:$", WALK, flags=re.MULTILINE)[1:]
NEEDS = PAGE.split("## One mechanism for each need\n", 1)[1].split("\n## ", 1)[0]
MECHANISM = re.compile(r"`(\w+)`[^`|()]*\(`([^`]+)`\)")
STATION = re.compile(r"^\d+\. `([^`]+)`(?:, `(\w+)`)?:", re.MULTILINE)


@pytest.mark.parametrize(("stations", "most"), [*zip(WALKS, (10, 8), strict=True)])
def test_a_walk_is_short(stations: str, most: int) -> None:
    assert 1 < len(STATION.findall(stations)) == len(re.findall(r"^\d+\. ", stations, re.MULTILINE)) <= most


@pytest.mark.parametrize(("file", "name"), STATION.findall(WALK))
def test_what_the_walk_names_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert re.search(rf"\b(def|function) {name}\(" if name else ".", text), f"{file} has no {name}"


def test_each_need_names_its_mechanism() -> None:
    rows = NEEDS.strip().splitlines()[2:]
    assert all(MECHANISM.search(row) for row in rows)


@pytest.mark.parametrize(("name", "file"), MECHANISM.findall(NEEDS))
def test_a_mechanism_is_there(name: str, file: str) -> None:
    text = (ROOT / (file if (ROOT / file).exists() else f"worker/{file}")).read_text("utf-8")
    assert re.search(rf"\b(def|class|function) {name}\b", text), f"{file} has no {name}"


SCHEDULED, ARGUED = (
    [
        {
            found if (ROOT / found).exists() else f"worker/{found}"
            for found in re.findall(r"`([^`]+\.py)`", place)
        }
        for place in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)[1:]
    ]
    for table in PAGE.split("## Where threads meet\n", 1)[1].split("\n## ", 1)[0].split("| place |")[1:]
)
PLACES = {place for row in (*SCHEDULED, *ARGUED) for place in row}
LIBRARIES = ("_thread", "concurrent", "gevent", "greenlet", "mmap", "multiprocessing", "queue", "threading")
"""What makes threads and the like, or what they share or wait for: whatever is called of these counts."""
HARMLESS = frozenset(
    f"threading.{name}" for name in ("current_thread", "enumerate", "get_ident", "local", "main_thread")
)


def makes_what_threads_need(code: str) -> bool:
    names = set(called(ast.parse(code)))
    return "asyncio.to_thread" in names or any(
        name.partition(".")[0] in LIBRARIES for name in names - HARMLESS
    )


@pytest.mark.parametrize(
    "code",
    [
        "import threading; threading.Lock()",
        "import threading as t; t.Thread(target=print).start()",
        "from queue import SimpleQueue; came = SimpleQueue[int]()",
        "from threading import Lock as Mutex; Mutex()",
        "import concurrent.futures; concurrent.futures.ThreadPoolExecutor()",
        "from concurrent import futures; futures.ProcessPoolExecutor()",
        "import concurrent.futures as pools; pools.ThreadPoolExecutor()",
        "import multiprocessing; multiprocessing.Process()",
        "import multiprocessing; multiprocessing.get_context('fork')",
        "from multiprocessing import Pipe; Pipe()",
        "import multiprocessing.pool; multiprocessing.pool.ThreadPool()",
        "def later():\n    from greenlet import greenlet\n    return greenlet(print)",
        "import gevent; gevent.spawn(print)",
        "import _thread; _thread.allocate_lock()",
        "import threading\nclass Mine(threading.Thread): pass",
        "import asyncio; asyncio.to_thread(print)",
    ],
)
def test_what_threads_need_is_seen_however_it_is_imported(code: str) -> None:
    assert makes_what_threads_need(code)


@pytest.mark.parametrize(
    "code",
    [
        "import threading; threading.get_ident()",
        "import threading\ndef wait(on: threading.Event): on.wait()",
        "from queue import Empty\ntry: pass\nexcept Empty: pass",
        "def make(threading): threading.Lock()",
    ],
)
def test_who_makes_nothing_that_threads_need_is_left_alone(code: str) -> None:
    assert not makes_what_threads_need(code)


def test_the_page_lists_every_place_where_threads_meet() -> None:
    parts = [path for part in ("worker", "producer") for path in (ROOT / part).rglob("*.py")]
    needing = {
        str(path.relative_to(ROOT)) for path in parts if makes_what_threads_need(path.read_text("utf-8"))
    }
    assert len(needing) > 10
    assert needing - PLACES == set()
    assert {place for place in PLACES if not (ROOT / place).exists()} == set()


def explored(path: Path) -> set[str]:
    """The modules that schedules of a file of tests stop at every line."""
    tree = ast.parse(path.read_text("utf-8"))
    called = {
        each.asname or each.name: f"{node.module}.{each.name}".removeprefix("lockstep.").replace(".", "/")
        + ".py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    return {
        called[module.id]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "explore"
        for module in ast.walk(node.args[1])
        if isinstance(module, ast.Name) and module.id in called
    }


def test_every_module_of_the_first_table_runs_under_a_scheduler() -> None:
    tests = (ROOT / "tests/unit/schedules").glob("test_*.py")
    under = {module for path in tests for module in explored(path)}
    assert len(SCHEDULED) > 10
    assert set().union(*SCHEDULED) - under == set()
