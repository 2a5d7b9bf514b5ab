"""Children of tests: what they find, and a forked one that does one thing and says what came of it."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import sysconfig
import traceback
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Generic, TypeVar, cast

from tests.waits import PATIENCE

T = TypeVar("T")


def inherited() -> dict[str, str]:
    """The environment without settings, save the transport that `make test BROKER=stock` asks for."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LOCKSTEP_") or name == "LOCKSTEP_BROKER"
    }


def take_bytecode(cache: Path) -> None:
    """Let a new cache of bytecode begin with what pip has compiled, and with Python's own.

    From an empty one, all processes that start first would compile the same packages at the same time.
    """
    if cache.exists():
        return
    packages, python = (Path(sysconfig.get_path(of)) for of in ("purelib", "stdlib"))
    folders = (each for each in python.rglob("__pycache__") if not {"site-packages", "test"} & {*each.parts})
    for folder in chain(packages.rglob("__pycache__"), folders):
        place = cache / folder.parent.relative_to("/")
        place.mkdir(parents=True, exist_ok=True)
        for compiled in folder.iterdir():
            (place / compiled.name).symlink_to(compiled)


class Forked(Generic[T]):
    """A child that runs a function."""

    def __init__(self, run: Callable[[], T]) -> None:
        if not faulthandler.is_enabled():
            faulthandler.enable()
        self._said, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._said)
                try:
                    told = pickle.dumps((run(), None))
                except BaseException:  # noqa: BLE001 - it is told to the parent
                    told = pickle.dumps((None, traceback.format_exc()))
                with os.fdopen(write, "wb") as pipe:
                    pipe.write(told)
                status = 0
            finally:
                os._exit(status)
        os.close(write)

    def result(self) -> T:
        """Return what the function returned in the child; fail with what it raised.

        One that hangs prints its stacks and ends.
        """
        told = b""
        with os.fdopen(self._said, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], PATIENCE)[0]:
                if not (part := pipe.read(65536)):
                    break
                told += part
            else:
                os.kill(self.pid, signal.SIGABRT)  # which prints its stacks, and ends it
        os.waitpid(self.pid, 0)
        assert told, "the child hangs: its stacks are above"
        value, error = pickle.loads(told)
        assert error is None, f"in the child: {error}"
        return cast(T, value)


def in_child(run: Callable[[], T]) -> T:
    """Run a function in a forked child and return its result."""
    return Forked(run).result()
