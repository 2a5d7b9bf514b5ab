"""A silence of hosts counts once it has struck, and hosts' answers come byte by byte in one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import requests

from lockstep.producer.stack.guard import Guard
from tests.chaos.children import Node
from tests.chaos.nemeses import Nemeses
from tests.chaos.orders import KIND, Told
from tests.chaos.rig import Rig
from tests.chaos.tiers import BRIEF, TIERS
from tests.chaos.weather import Weather
from tests.children import inherited

READ_TIMEOUT = 0.3
CALLS = 30


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (kinds := tmp_path / "kinds").mkdir()
    (kinds / "card.yaml").write_text(KIND)
    with closing(Guard()) as guard:
        made = Node("node1", 1, tmp_path, guard, inherited())
        made.start()
        yield made
        made.kill()


def silence(node: Node, meanwhile: Callable[[float], object]) -> str:
    """Have the answers of a node come byte by byte while something is done; return what the nemesis says."""
    rig = cast(Rig, SimpleNamespace(nodes={node.name: node}, plan=TIERS["quick"][0]))
    weather = Weather(BRIEF, READ_TIMEOUT)
    return Nemeses(rig, weather, Told(), random.Random(1), meanwhile).silence("answers one byte at a time")


def test_answers_come_whole_or_stand_still_beyond_the_read_timeout(node: Node) -> None:
    came: list[int] = []

    def calls(_: float) -> None:
        for number in range(CALLS):
            try:
                url = f"http://127.0.0.1:{node.port}/v1/group/g{number}/"
                came.append(requests.get(url, timeout=READ_TIMEOUT).status_code)
            except requests.RequestException:
                came.append(0)

    assert silence(node, calls) == node.name
    assert set(came) == {0, 404}


def test_a_silence_that_met_no_call_does_not_count(node: Node) -> None:
    assert silence(node, lambda _: None) == ""
