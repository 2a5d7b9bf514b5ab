"""The command as a process: signals, pipes, terminals, and what it loads."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lockstep import ClusterClient
from lockstep.producer.cli import app, main
from lockstep.producer.client.acceptance import Broker
from tests import warm
from tests.contract.producer.hand import Hand
from tests.waits import PATIENCE, eventually, read_until
from tests.warm import Piped, run

HEAVY = {"celery", "jmespath", "kombu", "pydantic", "redis", "requests", "rich"}
LOCKSTEP = [sys.executable, "-m", "lockstep"]


def start(*arguments: str) -> Piped:
    return Piped("lockstep", *arguments)


def _listen() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start_anew(*arguments: str) -> subprocess.Popen[str]:
    """Start one that ends as quickly as anybody's: a late signal may kill a forked one."""
    return subprocess.Popen(
        [*LOCKSTEP, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests may have made them deaf to these.
        preexec_fn=_listen,  # noqa: PLW1509 - it only sets a signal
    )


@pytest.mark.parametrize(
    ("number", "json_too", "told"),
    [
        (signal.SIGINT, False, "interrupted"),
        (signal.SIGTERM, True, "ended by SIGTERM"),
        (signal.SIGHUP, False, "ended by SIGHUP"),
    ],
)
def test_a_signal_leaves_the_operation_running_and_has_its_id_printed(
    cluster: ClusterClient, hand: Hand, number: signal.Signals, json_too: bool, told: str
) -> None:
    with start_anew("create", "team-a", "--id", "mine", *["--json"] * json_too) as process:
        eventually(lambda: hand.subscribers("mine") == 1, "the command waits")
        for _ in range(1 if number == signal.SIGINT else 3):  # as `timeout` and a terminal do
            process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + number
    assert err.splitlines()[-1] == f"{told}: operation mine goes on; `lockstep status mine` shows it"
    assert "Traceback" not in err
    assert (json.loads(out)["id"] == "mine") if json_too else not out
    operation = cluster.operation("mine")
    assert operation.status().decision is None
    hand.commit(operation)
    assert operation.wait(0).committed


def test_a_signal_that_was_ignored_stays_so(cluster: ClusterClient, hand: Hand) -> None:
    command = f"trap '' HUP; exec {sys.executable} -m lockstep create team-a --id mine"
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True) as process:
        eventually(lambda: hand.subscribers("mine") == 1, "the command waits")
        process.send_signal(signal.SIGHUP)
        hand.commit(cluster.operation("mine"))
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, 'created group "team-a" on 3 hosts (operation mine)\n')


def test_a_signal_ends_apply_and_watch(cluster: ClusterClient, hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "groups").write_text("team-a")
    with start("apply", str(tmp_path / "groups"), "--resume", "run") as applying:
        operation = eventually(lambda: next(iter(cluster.operations()), None), "it is accepted")
        with start("watch", operation.id) as watching:
            eventually(lambda: hand.subscribers(operation.id) == 2, "both wait")
            for process in (watching, applying):
                process.send_signal(signal.SIGTERM)
            said = [process.communicate(timeout=PATIENCE)[1] for process in (watching, applying)]
    assert (watching.returncode, applying.returncode) == (143, 143)
    assert [each.splitlines()[-1] for each in said] == [
        f"ended by SIGTERM: nothing was written; `lockstep watch {operation.id}` goes on watching",
        "ended by SIGTERM: what was started goes on; the same command with --resume run does the rest",
    ]


@pytest.mark.parametrize("more", [["--json"], []])
def test_a_signal_while_tasks_are_sent_has_the_id_printed(
    cluster: ClusterClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
) -> None:
    monkeypatch.setattr(Broker, "forward", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["create", "team-a", "--id", "mine", *more]) == 143
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == (
        "ended by SIGTERM: operation mine goes on; `lockstep status mine` shows it"
    )
    assert bool(said.out) is bool(more)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_signal_does_not_cut_short_what_is_told_of_the_first(
    cluster: ClusterClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def note(text: str) -> None:
        stop()
        print(text, file=sys.stderr)

    heard: list[int] = []
    monkeypatch.setattr(Broker, "forward", stop)
    monkeypatch.setattr(app, "note", note)
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        assert main(["create", "team-a", "--id", "mine"]) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not heard, "it would have ended the command"
    told = "ended by SIGTERM: operation mine goes on; `lockstep status mine` shows it"
    assert capsys.readouterr().err.splitlines()[-1] == told
    assert cluster.operation("mine").status().decision is None


def test_an_interrupt_while_the_group_is_busy_stores_nothing(cluster: ClusterClient, hand: Hand) -> None:
    owner = cluster.create_group("team-a")
    before = hand.keys()
    with start("delete", "team-a") as process:
        eventually(lambda: hand.subscribers(owner.id) == 1, "the command waits")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert err.splitlines()[-1] == ("interrupted: `lockstep list` shows whether the operation was accepted")
    assert hand.keys() == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["list"], 0), (["--help"], 0), (["create", "team-a", "--timeout", "0.1", "--json"], 4)],
)
def test_whoever_stops_reading_changes_no_exit_code(
    environment: Mapping[str, str], arguments: list[str], code: int
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        ran = subprocess.run(
            [*LOCKSTEP, *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == code
    assert "pipe" not in ran.stderr.lower()
    assert "Traceback" not in ran.stderr


def on_a_terminal(
    arguments: Sequence[str], environment: Mapping[str, str], hand: Hand, ready: str | None = None
) -> str:
    """Run the command on a terminal; commit `mine` once `ready` has been seen; return all that was shown."""
    ours, theirs = pty.openpty()
    process = warm.start(["lockstep", *arguments], environment, theirs, theirs)
    os.close(theirs)
    shown = ""
    with os.fdopen(ours, "rb", buffering=0):
        if ready is not None:
            shown = read_until(ours, ready)
            with ClusterClient(hand.settings) as cluster:
                hand.commit(cluster.operation("mine"))
        shown += read_until(ours)
    assert process.wait(PATIENCE) == 0
    return shown


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_a_moving_line(hand: Hand, no_color: bool) -> None:
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    if no_color:
        environment["NO_COLOR"] = "1"

    shown = on_a_terminal(["create", "team-a", "--id", "mine"], environment, hand, "applying, 0 of 3")

    assert "create team-a: applying, 0 of 3 hosts done (operation mine)" in shown
    assert (
        shown.replace("\r", "")
        .splitlines()[-1]
        .endswith('created group "team-a" on 3 hosts (operation mine)')
    )
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9]m", shown) is not None
    assert coloured is not no_color

    listed = on_a_terminal(["list"], environment, hand)
    assert ("\x1b[32mcommitted" in listed) is not no_color


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], set()),
        (["list"], {"redis"}),
        (["create", "team-a", "--no-wait"], {"celery", "kombu", "redis"}),
        (["delete", "team-a", "--no-wait"], {"celery", "kombu", "redis"}),
    ],
)
def test_a_command_loads_what_it_uses(
    environment: Mapping[str, str], arguments: list[str], loaded: set[str]
) -> None:
    """A person waits for each import, longer than for Redis."""
    code = (
        f"import sys; from lockstep.producer.cli import main; main({arguments}); "
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == str(sorted(loaded))


def test_a_bug_is_one_line_unless_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: Mapping[str, str]
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("boom\nbang")

    monkeypatch.setattr(ClusterClient, "operations", explode)

    assert main(["list"]) == 70
    assert capsys.readouterr().err == (
        "lockstep: error: RuntimeError: boom bang; "
        "this is a bug: run it with --debug and report what it prints\n"
    )
    for arguments in (["--debug", "list"], ["list", "--debug"]):
        assert main(arguments) == 70
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debugging_shows_where_an_error_came_from(
    capsys: pytest.CaptureFixture[str], environment: Mapping[str, str]
) -> None:
    assert main(["status", "nope", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "UnknownOperation" in err
    assert err.splitlines()[-1].startswith('lockstep: error: operation id "nope" is unknown')


@pytest.mark.parametrize("command", [["lockstep", "list"], ["celery", "-A", "lockstep", "worker"]])
@pytest.mark.parametrize("prefix", ["équipe:", "team[a]*:"])
def test_a_key_prefix_that_loses_messages_is_refused_at_the_start(
    environment: Mapping[str, str], command: list[str], prefix: str
) -> None:
    given = {**os.environ, "LOCKSTEP_KEY_PREFIX": prefix}
    ran = run(*command, env=given, timeout=3 * PATIENCE)
    assert ran.returncode != 0
    assert "use up to 100 characters of A-Z a-z 0-9 . _ - : / in a key prefix, and no others" in (
        ran.stdout + ran.stderr
    )


def test_what_kubernetes_sets_for_a_service_is_passed_over(environment: Mapping[str, str]) -> None:
    given = {**os.environ, "LOCKSTEP_REDIS_PORT": "tcp://10.0.0.1:6379", "LOCKSTEP_REDIS_SERVICE_HOST": "x"}
    ran = run("lockstep", "list", env=given, timeout=3 * PATIENCE)
    assert (ran.returncode, ran.stderr) == (0, "")
