"""Processes that need not import for two seconds before they do anything: forked from one that has.

`Warm` is a Child whose process is a fork of a server, one for each process of pytest, which has imported what
workers, beat, commands and mock nodes run, and has run nothing of it. From there on it is a process like any
other: it has an environment, a directory, a session and an output of its own. With a wrong clock it is forked
from a server that has one. What else wants another interpreter (PYTHON…) is started anew. `warming` makes
every Child of this process such a one, a stack's too; `run` and `Piped` are for what is no Child.

`tests.warm_server` is the other end.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self, cast

from lockstep.producer.stack.child import Child
from lockstep.producer.stack.processes import MockCluster
from tests.waits import PATIENCE
from tests.warm_server import CLOCK, MOST

ROOT = Path(__file__).parents[1]
OURS = ("LOCKSTEP_", "HOLD_", "OTEL_", "FLOWER_", "PYTEST_", "TMPDIR", "TERM", "COLUMNS", "NO_COLOR", CLOCK)
"""Variables that nothing reads while it is imported, save TERM for a logo. Any other that differs is for
a process of its own."""
ANEW = {"PYTHONNOUSERSITE": "1"}
"""What such a process is given: it imports by itself, and sees it done."""


class Warm(Child):
    """A Child that runs `python -m MODULE`, and need not import it."""

    def _spawn(self, prefix: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return _fork(self, prefix, log) or super()._spawn(prefix, log)


class WarmCluster(Warm, MockCluster):
    """A mock cluster likewise."""


@contextmanager
def warming() -> Iterator[None]:
    """Fork what is started until the end of the block, whatever kind of Child it is."""
    anew = Child._spawn

    def spawn(self: Child, prefix: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return _fork(self, prefix, log) or anew(self, prefix, log)

    Child._spawn = spawn  # type: ignore[method-assign]
    try:
        yield
    finally:
        Child._spawn = anew  # type: ignore[method-assign]


@contextmanager
def one_more() -> Iterator[None]:
    """Let the first environment that has no server yet have one too, until the end of the block."""
    before, most = set(_servers), _MOST[0]
    _MOST[0] = len(before) + 1
    try:
        yield
    finally:
        _MOST[0] = most
        for what in _servers.keys() - before:
            _servers.pop(what).end()


def _fork(child: Child, prefix: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes] | None:
    """Start a child's process from the server; None if that is not for such a one."""
    python, flag, *rest = child.command
    if (python, flag) != (sys.executable, "-m") or not (server := _server(child._env)):
        return None
    given = (log.fileno(), log.fileno(), child._guard.pipe)
    forked = Forked(server, rest, child._env, child.directory, *given, number=prefix[-1])
    return cast("subprocess.Popen[bytes]", forked)


def run(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run `python -m ARGUMENTS` to its end, and return its status and all that it wrote."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(arguments, env, out.fileno(), err.fileno())
        try:
            status = process.wait(timeout)
        except BaseException:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            raise
        said = []
        for each in (out, err):
            each.seek(0)
            said.append(each.read().decode("utf-8"))
    return subprocess.CompletedProcess(arguments, status, *said)


class Piped:
    """A process that runs `python -m ARGUMENTS` and whose outputs are read, in the words of Popen."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        ours, theirs = os.pipe()
        self.stdout, self._errors = os.fdopen(ours, encoding="utf-8"), tempfile.TemporaryFile()  # noqa: SIM115
        self._process = start(arguments, env, theirs, self._errors.fileno())
        os.close(theirs)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.wait()
        self._errors.close()

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float = PATIENCE) -> int:
        return self._process.wait(timeout)

    def send_signal(self, number: int) -> None:
        if self._process.returncode is None:  # nobody has been told that it ended, and its id is its own
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Return all that it writes from now on, once it has ended."""
        with ThreadPoolExecutor(1) as thread:
            read = thread.submit(self.stdout.read)
            try:
                self.wait(timeout)
            except BaseException:
                self.kill()
                raise
        self._errors.seek(0)
        return read.result(), self._errors.read().decode("utf-8")


def start(
    arguments: Sequence[str], env: Mapping[str, str] | None, out: int, err: int
) -> Forked | subprocess.Popen[bytes]:
    """Start `python -m ARGUMENTS`, which writes to these descriptors."""
    given = dict(os.environ if env is None else env)
    if server := _server(given):
        return Forked(server, arguments, given, Path.cwd(), out, err)
    command = [sys.executable, "-m", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=given)


class Forked:
    """What a Child needs of a process that is the server's child."""

    def __init__(
        self,
        server: Server,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *descriptors: int,
        number: str = "",
    ) -> None:
        """The descriptors are stdout, stderr and, with a number, the guard's pipe."""
        asked = {"number": number, "argv": argv, "env": env, "cwd": str(cwd)}
        self.pid = server.ask(asked, *descriptors)
        self.returncode: int | None = None
        self._server = server
        self._command = argv
        self._asking = threading.RLock()
        """What has ended is told once, and its id may be another's then: whoever supervises asks too."""

    def poll(self) -> int | None:
        with self._asking:
            if self.returncode is None and _ended(os.pidfd_open(self.pid), 0):
                self.returncode = self._server.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._asking:
            if (status := self.poll()) is not None:
                return status
            descriptor = os.pidfd_open(self.pid)
        if not _ended(descriptor, timeout):
            raise subprocess.TimeoutExpired(self._command, timeout or 0.0)
        return cast(int, self.poll())


def _ended(process: int, timeout: float | None) -> bool:
    with os.fdopen(process, "rb", 0) as ended:  # readable once it has
        looked = select.poll()
        looked.register(ended, select.POLLIN)
        return bool(looked.poll(None if timeout is None else timeout * 1000))


class Server:
    """The tests' end."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
                env=env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._owner = os.getpid()
        atexit.register(self.end)

    def ask(self, what: Mapping[str, object], *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._link, [json.dumps(what).encode()], descriptors)
            return cast(int, json.loads(self._link.recv(MOST)))

    def end(self) -> None:
        """Let it go; what it has forked goes on."""
        self._link.close()
        if os.getpid() == self._owner:
            self._process.wait(10)


_servers: dict[frozenset[tuple[str, str]], Server] = {}
_MOST = [1]
"""Servers that there may be, besides those with a wrong clock: each costs two seconds, and its memory."""


def _server(env: Mapping[str, str]) -> Server | None:
    """Return the server that imported what a process with this environment would; None if there is none."""
    given = {"PYTHONPATH": str(ROOT), **env}
    what = frozenset((name, value) for name, value in given.items() if not name.startswith(OURS))
    if what not in _servers:
        if len(_servers) >= _MOST[0] and "LD_PRELOAD" not in given:
            return None
        _servers[what] = Server(dict(what) | {name: env[name] for name in (CLOCK,) if name in env})
    return _servers[what]
