"""lockstep apply on a real record, with the work of workers done by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from lockstep import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.producer.operators.batch import STOPS_WITHIN, operation_id, parse_wishes
from lockstep.producer.operators.hosts import LOOK_UP
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.settings import load_settings
from tests.contract.producer import marked
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand
from tests.contract.producer.test_input import NO_KINDS
from tests.integration.producer.test_cli_process import start
from tests.waits import PATIENCE, eventually
from tests.warm import Piped

WANTED = "present: [team-a, team-b]\nabsent: [team-c]\n"


def play(cluster: ClusterClient, hand: Hand, bad: str = "") -> Callable[[], None]:
    """Commit whatever is accepted, except for one group, which is rolled back."""

    def run() -> None:
        eventually(lambda: len(cluster.operations()) == 3, "all are accepted")
        for each in cluster.operations():
            operation = cluster.operation(each.id)
            (hand.roll_back if each.group == bad else hand.commit)(operation)

    return run


def wanted(tmp_path: Path) -> str:
    file = tmp_path / "wanted.yaml"
    file.write_text(WANTED, "utf-8")
    return str(file)


def test_a_run_in_which_all_commit_exits_with_0(
    lockstep: Run, cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    playing = threads.submit(play(cluster, hand))
    ran = lockstep("apply", wanted(tmp_path), "--resume", "mine", "--as", "carol")
    playing.result()
    assert (ran.code, ran.out, ran.err) == (0, "run mine: 3 committed\n", "run mine: 3 groups\n")
    kept = {(each.group, each.action.value, each.created_by) for each in cluster.operations()}
    assert kept == {
        ("team-a", "create", "carol"), ("team-b", "create", "carol"), ("team-c", "delete", "carol"),
    }  # fmt: skip


def test_a_run_goes_on_where_it_was_cut_short_and_tells_what_failed(
    lockstep: Run, cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    first, *_ = parse_wishes(WANTED)
    begun = cluster.create_group("team-a", operation_id=operation_id("mine", first, hand.hosts))
    playing = threads.submit(play(cluster, hand, bad="team-b"))
    ran = lockstep("apply", wanted(tmp_path), "--resume", "mine", "--as", "alice@desk", "--json")
    playing.result()

    documents = {each["group"]: each for each in map(json.loads, ran.out.splitlines())}
    assert ran.code == 1
    assert documents["team-a"]["id"] == begun.id
    assert {group: each["state"] for group, each in documents.items()} == {
        "team-a": "committed", "team-b": "rolled_back", "team-c": "committed",
    }  # fmt: skip
    again = lockstep("apply", wanted(tmp_path), "--resume", "mine", "--as", "alice@desk")
    assert again.code == 1
    assert again.out.splitlines()[0].startswith("create team-b: rolled_back, cancelled by a test")
    assert len(cluster.operations()) == 3


def test_what_failed_is_told_on_stdout_though_a_bar_moves_on_stderr(
    lockstep: Run,
    cluster: ClusterClient,
    hand: Hand,
    threads: ThreadPoolExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    playing = threads.submit(play(cluster, hand, bad="team-b"))
    ran = lockstep("apply", wanted(tmp_path), "--resume", "mine")
    playing.result()
    assert [line.partition(":")[0] for line in ran.out.splitlines()] == ["create team-b", "run mine"]
    assert "100%" in ran.err


def test_a_bad_id_anywhere_writes_nothing(lockstep: Run, hand: Hand, tmp_path: Path) -> None:
    file = tmp_path / "groups.txt"
    file.write_text("team-a\nteam b\n", "utf-8")
    ran = lockstep("apply", str(file))
    assert ran.code == 2
    assert 'group id "team b" has a character outside' in ran.err
    assert hand.keys() == []


def test_a_file_that_is_no_text(lockstep: Run, tmp_path: Path) -> None:
    file = tmp_path / "groups.bin"
    file.write_bytes(b"\xff\xfe\x00")
    ran = lockstep("apply", str(file))
    assert ran.code == 2
    assert "is no UTF-8 text" in ran.err


def test_a_standard_input_that_is_closed() -> None:
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "lockstep", "apply", "-"]
    ran = subprocess.run(closed, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr == 'lockstep: error: file "-" cannot be read: standard input is closed\n'
    assert ran.returncode == 2


def test_waves_that_one_thing_cannot_have_write_nothing(
    lockstep: Run, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = (
        "- {name: node1, url: 'http://node1:1'}\n- {name: node2, url: 'http://node2:1', serves: [group]}\n"
    )
    (tmp_path / "hosts.yaml").write_text(f"hosts:\n{hosts}")
    (tmp_path / "wanted.yaml").write_text("present: [team-a, rabbitmq-vhost/team-a]\n")
    monkeypatch.delenv("LOCKSTEP_HOSTS")
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(tmp_path / "hosts.yaml"))
    ran = lockstep("apply", str(tmp_path / "wanted.yaml"), "--waves", "1,100%")
    told = "waves for one host, node1: leave them out, or choose more hosts"
    assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {told}\n")
    assert hand.keys() == []


ALPHABET = "has a character outside A-Z a-z 0-9 . _ -: use only those"
TYPE = "it must be a string"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no groups: give ids, one a line, or lists `present:` and `absent:`"),
        ("# none\n\n", "there are no groups: give ids, one a line, or lists `present:` and `absent:`"),
        ("team#1\n", f'group id "team#1" {ALPHABET}'),
        ("../x\n", NO_KINDS["../x"]),
        ("..\n", 'group id ".." is a path segment that URLs resolve away: choose another name'),
        ("present: [7]\n", f"group id 7 is of type int: {TYPE}"),
        ("present: [yes]\n", f"group id True is of type bool: {TYPE}"),
        ("present: [~]\n", f"group id None is of type NoneType: {TYPE}"),
        ("present: [[a]]\n", f"group id ['a'] is of type list: {TYPE}"),
        ("present: [a]\nabsent: [a]\n", 'group "a" shall be both present and absent: choose one'),
        (
            "present: [a]\npresent: [b]\n",
            'the list of groups line 2 has the key "present" a second time: drop one of them',
        ),
        (
            "present: &x [a]\nabsent: *x\n",
            "the list of groups line 1 has a YAML anchor: write the value out",
        ),
    ],
)
def test_bad_groups_are_refused_before_any_is_written(
    lockstep: Run, hand: Hand, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "groups"
    file.write_text(text, "utf-8")
    ran = lockstep("apply", str(file))
    assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {message}\n")
    assert hand.keys() == []


def test_windows_line_ends_and_comments_are_fine() -> None:
    text = "team-a\r\n  # all of them\r\nteam-b  # and this\r\n"
    assert [wish.group for wish in parse_wishes(text)] == ["team-a", "team-b"]


def test_a_file_with_a_byte_order_mark(
    lockstep: Run, cluster: ClusterClient, hand: Hand, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    file = tmp_path / "groups.txt"
    file.write_bytes("team-a\r\nteam-b\r\nteam-c\r\n".encode("utf-8-sig"))
    playing = threads.submit(play(cluster, hand))
    ran = lockstep("apply", str(file))
    playing.result()
    assert ran.code == 0
    assert {each.group for each in cluster.operations()} == {"team-a", "team-b", "team-c"}


def test_an_interrupt_says_how_to_go_on(cluster: ClusterClient, tmp_path: Path) -> None:
    with start("apply", wanted(tmp_path), "--resume", "mine") as process:
        eventually(lambda: len(cluster.operations()) == 3, "all are accepted")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == (
        "interrupted: what was started goes on; the same command with --resume mine does the rest"
    )
    assert all(each.decision is None for each in cluster.operations())


def waited_for(hand: Hand, operation: Operation) -> bool:
    return hand.subscribers(operation.id) == 1


def test_an_interrupt_starts_nothing_more_and_ends_soon(
    cluster: ClusterClient, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its groups are busy: were they waited for, each would be accepted as soon as it is free."""
    mark = tmp_path / "mark"
    monkeypatch.setenv("HOLD_MARK", str(mark))
    busy = [cluster.create_group(f"team-{n}") for n in range(3)]
    file = tmp_path / "groups.txt"
    file.write_text("".join(f"{each.group}\n" for each in busy))
    with Piped(marked.__name__, "apply", str(file), "--resume", "mine") as process:
        for each in busy:
            eventually(partial(waited_for, hand, each), "the run waits for the group")
        process.send_signal(signal.SIGINT)
        told = time.monotonic()
        eventually(mark.exists, "the run has heard it")
        for each in busy:
            hand.commit(each)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert time.monotonic() - told < 10
    assert len(cluster.operations()) == len(busy)


FROZEN = 60
"""Seconds after which a connection gives up on a Redis that hangs: no call may hold up who leaves."""
SPARE = 10.0
"""Seconds that ending a process may take on a busy machine."""


def unread(port: int) -> int:
    """How many bytes whoever listens on a port of this machine has been sent and has not read."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]]
    return sum(int(queues[9:], 16) for _, local, _, _, queues, *_ in lines if local.endswith(f":{port:04X}"))


@pytest.mark.parametrize("busy", [False, True], ids=["waits for its operations", "waits for groups"])
def test_an_interrupt_ends_a_run_though_redis_is_frozen(
    own_redis: RedisServer,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    busy: bool,
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", own_redis.url)
    monkeypatch.setenv("LOCKSTEP_REDIS_TIMEOUT", str(FROZEN))
    file = tmp_path / "groups.txt"
    file.write_text("team-a\nteam-b\n")
    with ClusterClient(load_settings()) as cluster, closing(Hand(load_settings())) as hand:
        for group in ("team-a", "team-b") if busy else ():
            cluster.create_group(group)
        with start("apply", str(file)) as process:
            eventually(lambda: len(cluster.operations()) == 2, "both groups have an operation")
            for each in cluster.operations():
                eventually(partial(waited_for, hand, cluster.operation(each.id)), "the run waits")
            os.kill(own_redis.pid, signal.SIGSTOP)
            try:
                if sys.platform == "linux":
                    eventually(lambda: unread(own_redis.port) > 1, "the run asks Redis")
                process.send_signal(signal.SIGINT)
                told = time.monotonic()
                process.communicate(timeout=PATIENCE)
                took = time.monotonic() - told
            finally:
                os.kill(own_redis.pid, signal.SIGCONT)
    assert process.returncode == 130
    assert took < LOOK_UP + STOPS_WITHIN + SPARE < FROZEN


def test_waves_that_cannot_be_start_nothing(lockstep: Run, hand: Hand, tmp_path: Path) -> None:
    ran = lockstep("apply", wanted(tmp_path), "--waves", "1,many")
    assert (ran.code, hand.keys()) == (2, [])
    assert 'a wave of "many" hosts' in ran.err
