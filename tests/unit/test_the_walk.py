"""The walk of docs/design.md: every file and every name that it sends a reader to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALK = (ROOT / "docs/design.md").read_text("utf-8").split("## The walk\n", 1)[1].split("\n## ", 1)[0]
WALKS = re.split(r"^From .*:$", WALK, flags=re.MULTILINE)[1:]
STATION = re.compile(r"^\d+\. `([^`]+)`(?:, `(\w+)`)?:", re.MULTILINE)


@pytest.mark.parametrize(("stations", "most"), [*zip(WALKS, (10, 8), strict=True)])
def test_a_walk_is_short(stations: str, most: int) -> None:
    assert 1 < len(STATION.findall(stations)) == len(re.findall(r"^\d+\. ", stations, re.MULTILINE)) <= most


@pytest.mark.parametrize(("file", "name"), STATION.findall(WALK))
def test_what_the_walk_names_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert re.search(rf"\b(def|function) {name}\(" if name else ".", text), f"{file} has no {name}"
