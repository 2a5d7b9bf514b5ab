"""The walk and the mechanisms of docs/design.md: every file and name that they send a reader to is there."""

from __future__ import annotations

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
