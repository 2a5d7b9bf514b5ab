"""The catalogue still fits the code: every change matches once, and what it makes is valid code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lockstep.producer.stack.processes import RedisServer
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutation import reasons
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
