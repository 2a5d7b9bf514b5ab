"""Child processes, each in a session of its own, and who starts those again that ended by themselves."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self, TypedDict

from lockstep.producer.discovery import StackError
from lockstep.producer.stack.guard import Guard

START_TIMEOUT = 30.0
"""Seconds for a child to be ready; it takes two at most, but a busy machine takes its time."""
POLL = 0.02
"""Seconds between two looks at a condition."""
SHOWN_LINES = 12
LOOK_EVERY = 0.1
"""Seconds between two looks; one look is a system call per child."""
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
"""Seconds before a restart: at once for an accident, slower for a child that ends again and again."""
STEADY = 10.0
"""Seconds after which a child that ran counts as well again."""
log = logging.getLogger(__name__)


class ChildOptions(TypedDict, total=False):
    """What every child of a stack is given."""

    guard: Guard
    env: Mapping[str, str]


class Child:
    """A process that this one owns. Not safe to share between threads without a lock."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        guard: Guard | None = None,
        env: Mapping[str, str] | None = None,
        grace: float = 5.0,
        sign: str = "",
    ) -> None:
        """Describe a process that runs in `directory`; `grace` is in seconds, from SIGTERM to SIGKILL.

        It does its work once `sign` is in what it has written, which is the cheapest way to tell.
        Without a guard it has one of its own, which ends with the `with` block that the child is used in.
        """
        self.name = name
        self.command = list(command)
        self.directory = directory
        self.log = directory / f"{name}.log"
        self.wanted = False
        """Whether it is meant to run: set by starting, cleared by `stop`, not by its death."""
        self.starts = 0
        self._env = dict(os.environ if env is None else env)
        self._grace = grace
        self._sign = sign
        self._own_guard = guard is None
        self._guard = guard or Guard()
        self._process: subprocess.Popen[bytes] | None = None
        self._number = ""
        self._log_start = 0

    def ready(self) -> bool:
        """Tell whether it does its work now; each kind of child knows its own sign."""
        return not self._sign or self._sign in self.output()

    @property
    def pid(self) -> int:
        """The process id of the latest start. Raises StackError before the first."""
        if self._process is None:
            raise StackError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        self._guard.forget(self._number)
        return False

    @property
    def fate(self) -> str:
        """How the latest process ended, in words that follow the child's name."""
        status = None if self._process is None else self._process.poll()
        if status is None:
            return "has not ended"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def launch(self) -> None:
        """Start the process without waiting until it is ready; nothing to do when it runs."""
        self.wanted = True
        if self.running:
            return
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._number, prefix = self._guard.launch()
            self._process = self._spawn(prefix, log)
        self.starts += 1

    def _spawn(self, prefix: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*prefix, *self.command],
            stdin=self._guard.pipe,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env=self._env,
            # Ctrl-C in the terminal reaches the owner alone, who stops its children in order.
            start_new_session=True,
        )

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start the process and wait until it is ready. Raises StackError with its last lines."""
        self.launch()
        self.wait_ready(timeout)

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until it is ready. Raises StackError when it ends before, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not (self.running and self.ready()):
            if not self.running:
                raise StackError(f"{self.name} {self.fate} while it was starting{self._last_lines()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready within {timeout:g} s{self._last_lines()}")
            time.sleep(POLL)

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self.wanted = False
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end, wait for its grace, then kill it; return when it is gone."""
        self.terminate()
        if self._process is not None:
            try:
                self._process.wait(self._grace)
            except subprocess.TimeoutExpired:
                self.kill()
        self.running  # noqa: B018  # tells the guard

    def kill(self) -> None:
        """Kill it with SIGKILL; return when it is gone. Its supervisor starts it again."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def output(self) -> str:
        """What it has written since its latest start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Stop it, and its guard if that is its own."""
        try:
            self.stop()
        finally:
            if self._own_guard:
                self._guard.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        # Running means not reaped, so the pid is still its own; its process group goes with it.
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _last_lines(self) -> str:
        lines = [f"  {line}" for line in self.output().rstrip().splitlines()[-SHOWN_LINES:]]
        return "\n".join([":", *lines]) if lines else ", and wrote nothing"


@dataclass(slots=True)
class ChildState:
    """A child and how often it ended shortly after its start."""

    child: Child
    failures: int = 0
    due: float | None = None
    since: float = 0.0


class Supervisor:
    """A thread that restarts every wanted child that does not run. The lock is held while it looks."""

    def __init__(self, children: Iterable[Child], lock: threading.RLock, say: Callable[[str], None]) -> None:
        self._patients = [ChildState(child, since=time.monotonic()) for child in children]
        self._lock = lock
        self._say = say
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look after them no more; returns when nothing will be started any more."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(LOOK_EVERY):
            for patient in self._patients:
                try:
                    with self._lock:
                        self._look(patient, time.monotonic())
                except Exception:  # of a listener, for example: the children need looking after
                    log.exception("while looking after %s", patient.child.name)

    def _look(self, patient: ChildState, now: float) -> None:
        child = patient.child
        if not child.wanted or child.running:
            if patient.failures and now - patient.since > STEADY:
                patient.failures = 0
            patient.due = None
            return
        if patient.due is None:
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**patient.failures)
            patient.failures += 1
            patient.due = now + delay
            self._say(f"{child.name} {child.fate}; it starts again in {delay:g} s")
        elif now >= patient.due:
            patient.due, patient.since = None, now
            with contextlib.suppress(OSError):  # no memory, no descriptors: the next look tries again
                child.launch()
