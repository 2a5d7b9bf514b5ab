"""What a probe says of the signs of a worker, of dead and stuck ones too."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from lockstep.worker.monitoring import probe as signs_module
from lockstep.worker.monitoring.heartbeat import Heartbeat
from lockstep.worker.monitoring.probe import BOOT, CLOCK, STALE, VARIABLE, HealthFiles, main, process
from lockstep.worker.operation.errors import InvalidInput
from tests.waits import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def signs(tmp_path: Path) -> HealthFiles:
    return HealthFiles(str(tmp_path / "signs"))


def probe(question: str, directory: str) -> tuple[int, str]:
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setenv(VARIABLE, directory)
        return main([question]), said.getvalue()


def says(question: str, signs: HealthFiles) -> bool:
    return probe(question, signs.directory)[0] == 0


def test_no_heartbeat_and_an_old_one_are_named(signs: HealthFiles) -> None:
    assert probe("live", signs.directory) == (
        1,
        f"not live: no heartbeat in {signs.live}: No such file or directory\n",
    )
    Heartbeat(signs).beat()
    assert says("live", signs)
    assert not says("ready", signs)
    for ago in (STALE + 5, -STALE - 60):
        then = time.clock_gettime(CLOCK) - ago
        os.utime(signs.live, (then, then))
        assert "s old" in probe("live", signs.directory)[1]


@pytest.mark.parametrize("jump", [-600.0, 600.0])
def test_a_wall_clock_that_jumps_makes_no_worker_look_dead(
    signs: HealthFiles, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    Heartbeat(signs).beat()
    then = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: then)
    assert signs.trouble("live") is None


def test_a_ready_file_without_a_heartbeat_is_not_ready(signs: HealthFiles) -> None:
    heart = Heartbeat(signs)
    heart.ready()
    assert not says("ready", signs)
    heart.beat()
    assert says("ready", signs)
    heart.stopping()
    assert "starting or stopping" in probe("ready", signs.directory)[1]


def test_signs_of_an_earlier_worker_are_removed_at_the_start(signs: HealthFiles) -> None:
    first = Heartbeat(signs)
    first.beat()
    first.ready()
    Heartbeat(signs)
    assert not says("live", signs)
    assert list(Path(signs.directory).iterdir()) == []


def test_what_a_dead_worker_left_is_not_taken_for_the_next_ones(signs: HealthFiles) -> None:
    """Where /tmp outlives a container, the next worker has the same pid and the files of the last."""
    gone = "import sys; from lockstep.worker.monitoring.probe import HealthFiles; "
    gone += "signs = HealthFiles(sys.argv[1]); signs.beat(); signs.is_ready()"
    Path(signs.directory).mkdir()
    subprocess.run([sys.executable, "-c", gone, signs.directory], cwd=ROOT, check=True, timeout=PATIENCE)
    _, said = probe("live", signs.directory)
    assert said == f"not live: the heartbeat in {signs.live} is that of a process that is gone\n"
    HealthFiles(signs.directory).beat()  # as the next worker does, before it is ready
    assert says("live", signs)
    assert not says("ready", signs), "that was the last one"
    signs.is_ready()
    assert says("ready", signs)


def test_a_process_that_has_the_pid_of_a_dead_one_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    this = process(os.getpid())
    pid, started, boot = this.split()
    texts = {BOOT: f"{boot}\n", f"/proc/{pid}/stat": f"{pid} (a) b) S {'0 ' * 18}{int(started) + 1} 0"}
    monkeypatch.setattr(signs_module, "_text", texts.__getitem__)
    assert process(pid) == f"{pid} {int(started) + 1} {boot}" != this
    texts[f"/proc/{pid}/stat"] = f"{pid} (a) Z {'0 ' * 18}{started} 0"
    assert process(pid) == ""


def test_a_probe_imports_no_more_than_it_must() -> None:
    command = [
        sys.executable,
        "-S",
        "-c",
        "import sys, lockstep.worker.monitoring.probe; print(*sys.modules)",
    ]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    # A hundredth of what a worker imports; with these alone a probe takes some 20 ms of CPU.
    assert len(asked.stdout.split()) < 60, asked.stdout


def test_an_unknown_question_is_answered_with_the_usage() -> None:
    usage = "usage: python -m lockstep.worker.monitoring.probe live|ready [beat]\n"
    assert probe("alive", "") == (2, usage)
    assert main([]) == main(["live", "flower"]) == 2


def another_users(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(directory, 4711, 4711)


def a_link(directory: Path) -> None:
    (directory.parent / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(directory.parent / "elsewhere")


def writable(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


NOT_OWN = [
    (another_users, "belongs to user 4711"),
    (a_link, "is a link"),
    (writable, "may be written to by others (mode 777)"),
]


@pytest.mark.parametrize(("made", "why"), NOT_OWN)
def test_a_directory_that_is_not_the_workers_own_is_refused(
    tmp_path: Path, made: Callable[[Path], None], why: str
) -> None:
    made(tmp_path / "signs")
    with pytest.raises(InvalidInput, match=re.escape(why)):
        Heartbeat(HealthFiles(str(tmp_path / "signs")))
    assert not list(tmp_path.glob("*/live"))


def test_without_proc_a_process_is_known_by_its_pid_and_sent_no_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_proc(_: str) -> str:
        raise FileNotFoundError

    sent: list[tuple[int, int]] = []
    kills: dict[int, OSError] = {2: ProcessLookupError(), 3: PermissionError()}

    def kill(pid: int, signal: int) -> None:
        sent.append((pid, signal))
        if pid in kills:
            raise kills[pid]

    monkeypatch.setattr(signs_module, "_text", no_proc)
    monkeypatch.setattr(os, "kill", kill)
    assert [process(pid) for pid in (1, "1", 2, 3, "", "x")] == ["1", "1", "", "3", "", ""]
    assert sent == [(1, 0), (1, 0), (2, 0), (3, 0)], "0 only asks"


def test_the_files_are_in_the_users_own_directory_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", "/scratch")
    assert HealthFiles().live == f"/scratch/lockstep-worker-{os.getuid()}/live"
    monkeypatch.setenv("TMPDIR", "")
    assert HealthFiles(of="beat").ready == f"/tmp/lockstep-worker-{os.getuid()}/beat-ready"


def test_whatever_is_left_of_the_files_is_removed(signs: HealthFiles) -> None:
    Heartbeat(signs)
    half_written = Path(signs.ready + signs_module.FRESH)
    half_written.touch()
    signs.remove()
    assert not half_written.exists()
