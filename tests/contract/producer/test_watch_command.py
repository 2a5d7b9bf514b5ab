"""`lockstep watch`: each change is told once, Redis may go and come back, and Ctrl-C ends it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from lockstep import ClusterClient, StoreUnavailable
from lockstep.producer.cli.commands import watch
from lockstep.producer.cli.text import SILENT
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand

Play = Callable[..., None]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Do these one after the other between two looks, and then type Ctrl-C."""

    def play(*acts: Callable[[], object]) -> None:
        left = list(acts)

        def sleep(_: float) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=sleep))

    return play


def nothing() -> None:
    """Let one look pass in which nothing has changed."""


def test_each_change_of_an_operation_is_told_once(
    lockstep: Run, cluster: ClusterClient, hand: Hand, between: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cluster.create_group("team-a", operation_id="first")
    look, fails = ClusterClient.operations, [False, False, True, False, False]

    def operations(self: ClusterClient, limit: int) -> object:
        if fails.pop(0):
            raise StoreUnavailable("Redis does not answer")
        return look(self, limit)

    monkeypatch.setattr(ClusterClient, "operations", operations)
    between(nothing, nothing, lambda: hand.commit(first), lambda: cluster.delete_group("team-b"))
    ran = lockstep("watch")
    assert (ran.code, ran.err) == (0, "")
    told = ran.out.splitlines()
    assert [line.split(":")[0] for line in told if "Redis" not in line] == [
        "create team-a", "create team-a", "delete team-b",
    ]  # fmt: skip
    assert "applying" in told[0]
    assert SILENT in told[1]
    assert "committed" in told[2]


def test_as_json_each_line_is_an_operation(
    lockstep: Run, cluster: ClusterClient, hand: Hand, between: Play
) -> None:
    # Those of one millisecond are told by their ids.
    operations = [cluster.create_group(f"team-{name}", operation_id=name) for name in "abc"]
    between(lambda: hand.commit(operations[0]), nothing)
    told = [json.loads(line) for line in lockstep("watch", "--json").out.splitlines()]
    assert [(each["group"], each["state"]) for each in told] == [
        ("team-a", "applying"), ("team-b", "applying"), ("team-c", "applying"), ("team-a", "committed"),
    ]  # fmt: skip
    between()
    few = lockstep("watch", "--json", "--limit", "1").out.splitlines()
    assert [json.loads(line)["group"] for line in few] == ["team-c"]


def test_on_a_terminal_a_table_is_drawn_over(
    lockstep: Run, cluster: ClusterClient, hand: Hand, between: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = cluster.create_group("team-a", operation_id="mine")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    between(lambda: hand.commit(operation))
    ran = lockstep("watch")
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b[?25l" in ran.out, "no cursor while it draws"
    assert ran.out.index("applying") < ran.out.index("committed") < ran.out.rindex("\x1b[?25h")

    ran = lockstep("watch", "mine")
    assert ran.code == 0
    assert "node1" in ran.out
    assert "committed" in ran.out


def test_watch_ends_when_nobody_reads_it_any_more(
    lockstep: Run, cluster: ClusterClient, between: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create_group("team-a")
    gone = [False, True]
    monkeypatch.setattr(watch, "reader_gone", lambda: gone.pop(0))
    between(*[nothing] * 5)
    ran = lockstep("watch")
    assert (ran.code, ran.out.count("team-a"), gone) == (0, 1, [])
