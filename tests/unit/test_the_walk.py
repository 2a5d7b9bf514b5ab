"""What docs/design.md sends a reader to is there: the walk, the mechanisms, and where threads meet."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

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
MAKES = frozenset(
    [
        "Thread",
        "Timer",
        "Lock",
        "RLock",
        "Condition",
        "Event",
        "Semaphore",
        "BoundedSemaphore",
        "Barrier",
        "Queue",
        "SimpleQueue",
        "ThreadPoolExecutor",
    ]
)
LIBRARIES = ("threading", "queue", "concurrent")


def makes_what_threads_need(path: Path) -> bool:
    tree = ast.parse(path.read_text("utf-8"))
    named = {
        each.asname or each.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES
        for each in node.names
    }
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(
        (isinstance(of, ast.Name) and of.id in named & MAKES)
        or (isinstance(of, ast.Attribute) and of.attr in MAKES and ast.unparse(of.value) in LIBRARIES)
        for of in called
    )


def test_the_page_lists_every_place_where_threads_meet() -> None:
    parts = [path for part in ("worker", "producer") for path in (ROOT / part).rglob("*.py")]
    needing = {str(path.relative_to(ROOT)) for path in parts if makes_what_threads_need(path)}
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
