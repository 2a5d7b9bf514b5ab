"""Output that cannot be written: the command does its work, and says with its exit code what came of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import ClusterClient
from lockstep.producer.cli import app, main
from lockstep.producer.client.operation import Operation
from lockstep.producer.operators.batch import Wish, operation_id
from lockstep.worker.operation.model import Action, GroupId
from lockstep.worker.operation.waves import AT_ONCE, Pace
from lockstep.worker.settings import load_settings
from tests.contract.producer.hand import NODE1, Hand
from tests.contract.producer.nodes import Node
from tests.waits import PATIENCE

FULL = Path("/dev/full")
NO_SPACE = "No space left on device"
VERBS = [
    ("create team-a --id mine", 0, "mine"),
    ("create team-{n} --id new{n} --no-wait --hosts node1", 0, "new{n}"),
    ("set rabbitmq-vhost/set{n} --set description=x --create --no-wait --id set{n}", 0, "set{n}"),
    ("delete team-open --id open --timeout 0.1", 4, "open"),
    ("apply {directory}/groups --resume run", 0, "run run: 1 committed"),
    ("plan create team-x", 0, ""),
    ("cancel cancelled{n}", 0, "cancelled{n}"),
    ("status mine", 0, ""),
    ("show mine", 0, ""),
    ("watch mine", 0, ""),
    ("list", 0, ""),
    ("history", 0, ""),
    ("report mine --html {directory}/page{n}", 0, "wrote {directory}/page{n}"),
    ("exists node1 team-x", 1, ""),
    ("hosts", 0, ""),
    ("pause node3 --why shelves", 0, "node3"),
    ("resume node3", 0, "node3"),
    ("probe node2 --watch 1", 1, ""),
    ("doctor", 1, ""),
    ("drift team-a", 1, ""),
    ("sync node1 --dry-run", 0, ""),
    ("hold waves{n} --reason look", 0, "waves{n}"),
    ("promote held{n}", 0, "held{n}"),
    ("abandon stalled{n} node1 --reason scrapped", 0, "stalled{n}"),
    ("resolve contested{n} node1 --restore", 0, "contested{n}"),
    ("forget --deleted-before 90d --yes", 0, "forgot 0 groups"),
    ("kinds", 0, ""),
    ("completion bash", 0, ""),
]
"""What to run, its exit code, and what stderr says when stdout could not be written; {n} is new each time."""


@pytest.fixture
def prepared(nodes: dict[str, Node], environment: dict[str, str], tmp_path: Path, verb: str) -> Path:
    """Operations that every verb may meet, those in a state that this one needs, and a file of groups."""
    hand = Hand(load_settings())
    (tmp_path / "groups").write_text("of-a-run")
    with ClusterClient() as cluster:

        def started(
            name: str, group: str | None = None, action: Action = Action.CREATE, pace: Pace = AT_ONCE
        ) -> Operation:
            return cluster.change(action, group or f"of-{name}", None, {}, name, pace=pace)

        run = operation_id("run", Wish(Action.CREATE, GroupId("of-a-run")), cluster.select())
        hand.commit(started("mine", "team-a"))
        hand.commit(started(run, "of-a-run"))
        started("open", "team-open", Action.DELETE)
        for n in (1, 2):
            if "cancelled" in verb:
                started(f"cancelled{n}")
            if "waves" in verb:
                started(f"waves{n}", pace=Pace("1"))
            if "held" in verb:
                started(f"held{n}", pace=Pace("1", hold=True))
            if "stalled" in verb:
                stalled = started(f"stalled{n}")
                hand.begin(stalled, NODE1)
                hand.roll_back(stalled)
                hand.stall(stalled, NODE1)
            if "contested" in verb:
                thing = f"rabbitmq-vhost/contested{n}"
                hand.contest(cluster.set(thing, description="x", operation_id=f"contested{n}"), NODE1)
    hand.close()
    return tmp_path


@pytest.mark.parametrize(("verb", "code", "told"), VERBS, ids=lambda value: str(value).split()[0:1])
def test_a_command_does_its_work_when_its_output_cannot_be_written(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, verb: str, code: int, told: str
) -> None:
    """Once with a stdout that is full, once with such a stderr."""

    def run(n: int, out: Path, err: Path, *more: str) -> int:
        with out.open("w") as stdout, err.open("w") as stderr, monkeypatch.context() as patch:
            patch.setattr("sys.stdout", stdout)
            patch.setattr("sys.stderr", stderr)
            return main([*verb.format(n=n, directory=prepared).split(), *more])

    out, err = prepared / "out", prepared / "err"
    assert run(1, FULL, err, "--json") == 74
    *_, last = err.read_text().splitlines()
    assert last.startswith(f"lockstep: error: the answer could not be written to stdout ({NO_SPACE})")
    assert told.format(n=1, directory=prepared) in last
    assert run(2, out, FULL, "--debug") == code
    assert bool(out.read_text()) is (code != 4)


def test_every_command_is_in_the_table() -> None:
    """`repair` is a create or delete that waits."""
    assert {verb.split()[0] for verb, *_ in VERBS} | {"repair"} == set(app.lockstep.commands)


@pytest.mark.parametrize("given", ["", "--help", "--version", "create --help"])
def test_help_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    with FULL.open("w") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        assert main(given.split()) == 74


CREATE = "create team-a --id mine --no-wait"
LOST = "lockstep: error: the answer could not be written to stdout"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("watch >/dev/full", 74, f"{LOST} ({NO_SPACE})\n"),
        ("list >&-", 74, f"{LOST} (Bad file descriptor)\n"),
        (f"{CREATE} 2>/dev/full", 0, ""),
        (f"{CREATE} --json >/dev/full", 74, f"{LOST} ({NO_SPACE}); operation mine goes on; `lockstep status"),
        (f"{CREATE} >&- 2>&-", 74, ""),
        (f"{CREATE} <&-", 0, "accepted: create team-a (operation mine)\n"),
    ],
)
def test_a_process_ends_with_that_code(cluster: ClusterClient, arguments: str, code: int, said: str) -> None:
    """Python itself has nothing to say as it ends."""
    if arguments.startswith("watch"):
        cluster.create_group("team-a")
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m lockstep {arguments}"],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stderr[: len(said)]) == (code, said)
    assert ran.stderr.count("\n") == bool(said)
    if "create" in arguments:
        assert cluster.operation("mine").status().group == "team-a"
