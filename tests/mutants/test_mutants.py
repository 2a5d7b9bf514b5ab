"""The catalogue still fits the code: every change matches once, and what it makes is valid code."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutation import drawn, reasons, share
from tests.mutants.small import EVERY, folder_of
from tests.mutants.small import Mutant as Small
from tests.mutants.tree import ROOT, Change, Moved, Mutant, copied

CASES = [
    pytest.param(changes, id=f"{mutant.name} ({place})")
    for mutant in MUTANTS
    for place, changes in mutant.cases.items()
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as child, redis.Redis.from_url(child.url) as client:
        yield client


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """One copy for all, for a copy costs more than all that is looked at in it."""
    with copied() as root:
        yield root


def whole(script: Path) -> str:
    """Return a script as it is sent: between what stands before and after each, or within that itself."""
    around = ("record", "limit", "step", "rule", "serve")
    shared = script.parents[1] / "shared"
    record, limit, step, rule, serve = ((shared / f"{name}.lua").read_text("utf-8") for name in around)
    body = "" if script.stem in around else script.read_text("utf-8")
    return f"{record}\n{limit}\n{step}\n{rule}\nlocal function transition(ARGV, op)\n{body}\nend\n{serve}"


@pytest.mark.parametrize("changes", CASES)
def test_a_mutant_still_applies_and_is_valid_code(
    changes: tuple[Change, ...], server: redis.Redis, tree: Path
) -> None:
    before = {path: path.read_text("utf-8") for path in {tree / change.path for change in changes}}
    try:
        for change in changes:
            (tree / change.path).write_text(change.applied(tree), "utf-8")
        for path in before:
            if path.suffix == ".py":
                ast.parse(path.read_text("utf-8"))
            else:
                server.script_load(whole(path))
    finally:
        for path, text in before.items():
            path.write_text(text, "utf-8")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_transition_is_broken_in_the_script_and_in_its_twin(mutant: Mutant) -> None:
    assert mutant.code or (mutant.script and mutant.twin)


def test_a_change_whose_text_has_moved_says_so() -> None:
    with pytest.raises(Moved, match="0 times, not once"):
        Change("worker/record/lua/step/begin.lua", "no such line", "").applied()


def test_a_survivor_that_is_excused_is_a_line_of_its_file() -> None:
    listed = [each for each in reasons() if "path" in each]
    assert len(listed) > 5
    gone = [each for each in listed if each["line"] not in (ROOT / each["path"]).read_text("utf-8")]
    assert gone == []


def test_every_file_of_the_product_is_in_a_folder_that_is_changed() -> None:
    files = [path for part in ("worker", "producer") for path in (ROOT / part).rglob("*.py")]
    folders = {folder_of(str(path.relative_to(ROOT))) for path in files}
    assert folders == EVERY.keys() - {"worker/record/lua"}


def test_a_number_or_a_share_of_each_folder_is_drawn_and_the_same_again() -> None:
    every = [
        Small(f"{folder}/any.py", "any", line, "old", "new")
        for folder, many in (("worker/hosts", 40), ("producer/cli", 30), ("producer", 1))
        for line in range(many)
    ]
    tenth = drawn(every, "10%", 41)
    assert Counter(each.folder for each in tenth) == {"worker/hosts": 4, "producer/cli": 3, "producer": 1}
    assert drawn(every, "10%", 41) == tenth != drawn(every, "10%", 42)
    two = drawn(every, "2", 41)
    assert Counter(each.folder for each in two) == {"worker/hosts": 2, "producer/cli": 2, "producer": 1}


def test_shares_are_weighed_by_how_many_mutants_a_folder_has() -> None:
    assert share({"a": (19, 20)}, {"a": 500}) == "95 % (76 to 99)"
    assert share({"a": (20, 20), "b": (10, 20)}, {"a": 900, "b": 100}) == "95 % (79 to 99)"
