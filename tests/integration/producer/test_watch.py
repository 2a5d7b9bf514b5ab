"""lockstep watch as a process: lines in a pipe, a table on a terminal, and every way to leave it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from lockstep import ClusterClient
from lockstep.producer.client.operation import Operation
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, Hand
from tests.integration.producer.test_cli_process import LOCKSTEP, start
from tests.waits import PATIENCE, read_until


@pytest.fixture
def screen() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    for each in (ours, theirs):
        os.close(each)


def test_one_operation_in_a_pipe_until_its_end(operation: Operation, hand: Hand) -> None:
    with start("watch", operation.id) as process:
        first = process.stdout.readline()
        hand.apply(operation, NODE1)
        hand.commit(operation)
        out, err = process.communicate(timeout=PATIENCE)

    lines = out.splitlines()
    assert (process.returncode, err) == (0, "")
    assert first == "node1  -  nothing sent yet  0  -\n"
    assert "node1  absent  changed by its write before the decision  1  -" in lines
    assert lines[-1] == f"create team-a: committed, 3 of 3 hosts done (operation {operation.id})"
    assert "\x1b" not in out


def test_all_operations_in_a_pipe_until_ctrl_c(cluster: ClusterClient, operation: Operation) -> None:
    with start("watch") as process:
        assert operation.id in process.stdout.readline()
        later = cluster.delete_group("team-b")
        assert later.id in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")


def test_json_is_a_document_a_line(operation: Operation, hand: Hand) -> None:
    hand.commit(operation)
    with start("watch", operation.id, "--json") as process:
        (line,) = process.communicate(timeout=PATIENCE)[0].splitlines()
    document = json.loads(line)
    assert (document["state"], len(document["hosts"])) == ("committed", 3)


def test_watch_ends_when_nobody_reads_though_nothing_happens(operation: Operation) -> None:
    with start("watch") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_terminal_has_a_table(
    operation: Operation, hand: Hand, screen: tuple[int, int], no_colour: bool
) -> None:
    ours, theirs = screen
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"} | ({"NO_COLOR": "1"} if no_colour else {})
    command = [*LOCKSTEP, "watch"]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        seen = read_until(ours, "applying")
        hand.commit(operation)
        seen += read_until(ours, "committed")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert "OPERATION" in seen
    assert ("\x1b[36m" in seen) is not no_colour


def test_an_unknown_operation_is_not_watched(lockstep: Run, environment: Mapping[str, str]) -> None:
    ran = lockstep("watch", "nope")
    assert ran.code == 2
    assert "is unknown" in ran.err
