"""`make up` without its processes: what it takes, what it shows, and how it ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.discovery import AlreadyRunning, StackError
from lockstep.producer.process import Stopped
from lockstep.producer.stack import command
from lockstep.producer.stack.processes import FLOWER_PORT
from lockstep.worker.operation.errors import InvalidInput

URL, HOSTS = "LOCKSTEP_REDIS_URL", "LOCKSTEP_HOSTS"
UNSET = "Unset it where you type commands."


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("LOCKSTEP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(command, "out", command.PlainConsole(highlight=False, width=120))
    return tmp_path


def running(first: int = command.FIRST_PORT, flower: int | None = FLOWER_PORT) -> Any:
    return SimpleNamespace(
        redis_url="redis://:secret@127.0.0.1:1/0",
        nodes={f"node{number}": f"http://127.0.0.1:{first + number - 1}" for number in (1, 2)},
        admin_url=f"http://127.0.0.1:{first + 2}",
        flower_url=flower and f"http://127.0.0.1:{flower}",
        directory=Path("logs"),
    )


SHOWN = """
Lockstep is up.

  Redis    redis://…@127.0.0.1:1/0
  Cluster  node1  http://127.0.0.1:{0}/docs
           node2  http://127.0.0.1:{1}/docs
           admin  http://127.0.0.1:{2}/docs
{flower}  Logs     logs

{warnings}In another terminal:

  bin/lockstep create team-c
  bin/lockstep list
  bin/lockstep delete team-c
  bin/lockstep --help

Ctrl-C stops it all and keeps nothing.
"""


@pytest.mark.parametrize(
    ("first", "flower", "ignored", "warnings"),
    [
        (5001, 5555, [], []),
        (5001, None, [], []),
        (6001, None, [], ["Ports from 5001 on are taken, so the nodes have others."]),
        (5001, 5556, [], ["Port 5555 is taken, so Flower has another one."]),
        (
            5001,
            5555,
            [URL, HOSTS],
            [
                f"{URL} is set here and plays no part; --redis makes the stack use it. {UNSET}",
                f"{HOSTS} is set here and plays no part. {UNSET}",
            ],
        ),
    ],
)
def test_who_runs_a_stack_is_shown_where_everything_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    flower: int | None,
    ignored: list[str],
    warnings: list[str],
) -> None:
    monkeypatch.setattr(command, "lockstep", lambda: "bin/lockstep")
    command.show(running(first, flower), ignored)
    assert capsys.readouterr().out == SHOWN.format(
        *range(first, first + 3),
        flower="" if flower is None else f"  Flower   http://127.0.0.1:{flower}\n",
        warnings="".join(f"{line}\n" for line in warnings),
    )


def test_a_line_about_a_child_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    command.warn("[bold]beat[/] ended")
    assert capsys.readouterr().out == "[bold]beat[/] ended\n"


@pytest.mark.parametrize("number", [1, 2, 199, 200])
def test_a_cluster_has_one_to_200_nodes(number: int) -> None:
    assert command.count(str(number)) == number


@pytest.mark.parametrize("wrong", ["0", "201", "-1", "1.5", "five", ""])
def test_other_numbers_of_nodes_are_refused(wrong: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f'^"{wrong}" is not a whole number from 1 to 200$'):
        command.count(wrong)


@pytest.mark.parametrize(
    ("given", "nodes", "flower", "redis"),
    [
        ([], 5, True, None),
        (["--nodes", "7", "--no-flower"], 7, False, None),
        (["--redis"], 5, True, URL),
        (["--redis", "redis://there"], 5, True, "redis://there"),
    ],
)
def test_what_a_stack_has_is_given_in_options(
    given: list[str], nodes: int, flower: bool, redis: str | None
) -> None:
    found = command.parser().parse_args(given)
    assert (found.nodes, found.flower, found.redis) == (nodes, flower, redis)


def test_a_redis_that_is_given_is_tried_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(command, "check_redis", tried.append)
    assert command.chosen_redis(None) is None
    assert command.chosen_redis("redis://there") == "redis://there"
    with pytest.raises(InvalidInput, match=f"--redis without a URL means that of {URL}, which is not set"):
        command.chosen_redis(URL)
    monkeypatch.setenv(URL, "redis://mine")
    assert command.chosen_redis(URL) == "redis://mine"
    assert tried == ["redis://there", "redis://mine"]


def test_the_command_is_named_as_one_types_it_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(place / "venv" / "bin" / "python"))
    monkeypatch.chdir(place)
    assert command.lockstep() == "venv/bin/lockstep"
    (place / "other").mkdir()
    monkeypatch.chdir(place / "other")
    assert command.lockstep() == str(place / "venv" / "bin" / "lockstep")


class Fake:
    """A stack that starts nothing; `done` is what it was told."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.done.append(name)


def test_a_stack_is_given_what_is_set_for_it_and_told_what_plays_no_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Fake] = []
    told: list[Sequence[str]] = []

    def run(stack: Fake, ignored: Sequence[str]) -> None:
        made.append(stack)
        told.append(ignored)
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(command, "Stack", Fake)
    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "check_redis", lambda url: None)
    for name, value in {URL: "redis://mine", HOSTS: "http://a", "LOCKSTEP_DEADLINE": "60"}.items():
        monkeypatch.setenv(name, value)
    assert command.main([]) == 0
    assert command.main(["--redis", "--nodes", "3", "--no-flower"]) == 0
    ours, theirs = (each.given for each in made)
    assert ours.pop("say") is theirs.pop("say") is command.warn
    same = {"env": {"LOCKSTEP_DEADLINE": "60"}, "first_port": 5001, "publish": True}
    assert ours == {"nodes": 5, "flower": True, "redis_url": None, **same}
    assert theirs == {"nodes": 3, "flower": False, "redis_url": "redis://mine", **same}
    assert told == [[URL, HOSTS], [HOSTS]]


@pytest.mark.parametrize(
    ("raised", "code", "out", "err"),
    [
        (Stopped(signal.SIGINT), 0, "Stopped; nothing is left running.\n", ""),
        (AlreadyRunning("one runs"), 2, "", "error: one runs\n"),
        (InvalidInput("a bad value"), 2, "", "error: a bad value\n"),
        (StackError("redis ended:\n  why"), 1, "", "error: redis ended:\n  why\n"),
    ],
)
def test_how_a_stack_ended_is_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    out: str,
    err: str,
) -> None:
    def run(*_: object) -> None:
        raise raised

    monkeypatch.setattr(command, "Stack", Fake)
    monkeypatch.setattr(command, "run", run)
    assert command.main([]) == code
    assert capsys.readouterr() == (out, err)


def test_a_setting_that_is_wrong_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Stack", None)
    monkeypatch.setenv("LOCKSTEP_DEADLINE", "soon")
    assert command.main([]) == 2
    assert "LOCKSTEP_DEADLINE" in capsys.readouterr().err


def test_a_stack_runs_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stack: Any = Fake()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise Stopped(signal.SIGINT)

    monkeypatch.setattr(command, "show", lambda *_: stack.done.append("shown"))
    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(Stopped):
        command.run(stack, [])
    assert stack.done == ["start", "shown", "stop"]
    assert all(0 < each <= 0.5 for each in slept), "within that a signal is heard"


def test_a_stack_that_is_killed_gives_the_terminal_its_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stack: Any = Fake()
    monkeypatch.setattr(command.out, "show_cursor", lambda: stack.done.append("cursor"))
    command.end_at_once(stack)
    assert stack.done == ["end_at_once", "cursor"]
