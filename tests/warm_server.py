"""The server of `tests.warm`: it imports what processes of tests run, and forks each that is asked for."""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from tests.waits import eventually

IMPORTED = (
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.beat",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "lockstep.worker.celery",
    "lockstep.mock_api.admin_app",
    "lockstep.mock_api.cluster",
    "lockstep.mock_api.options",
    "lockstep.producer.cli",
    "lockstep.producer.client.client",
    "lockstep.producer.doctor",
    "lockstep.producer.operators.batch",
    "lockstep.worker.tasks",
    "rich.live",
)
CLOCK = "FAKETIME_TIMESTAMP_FILE"
MOST = 1 << 20
"""Bytes of a message."""
_status: list[int] = []
"""What this process ends with, once what it was asked to run has said so."""


def main() -> None:
    """Fork what is asked for, and tell what became of it, until nobody is there to ask."""
    atexit.register(end_at_once)  # the first to be registered is the last to be called
    link = socket.socket(fileno=int(sys.argv[1]))
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    while True:
        message, descriptors, *_ = socket.recv_fds(link, MOST, 3)
        if not message:
            return
        asked = json.loads(message)
        if "pid" in asked:
            pid, status = os.waitpid(asked["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                link.close()
                become(asked["number"], asked["argv"], asked["env"], asked["cwd"], *descriptors)
                return
        link.send(json.dumps(answer).encode())
        for each in descriptors:
            os.close(each)


def become(
    number: str, argv: Sequence[str], env: Mapping[str, str], cwd: str, out: int, err: int, *guard: int
) -> None:
    """Do what Child, the guard's prefix and `python -m` do."""
    os.setsid()
    # Whoever runs the tests may have made them deaf to these.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for pipe in guard:
        os.write(pipe, f"+{number} {os.getpid()}\n".encode())
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(ours, standard)
    for each in (nothing, out, err, *guard):
        os.close(each)
    for name, standard in (("stdout", 1), ("stderr", 2)):  # the server's remember what kind of file they had
        had, raw = getattr(sys, name), open(standard, "wb", buffering=0, closefd=False)  # noqa: SIM115
        setattr(
            sys, name, io.TextIOWrapper(cast(IO[bytes], raw), had.encoding, had.errors, write_through=True)
        )
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = cwd
    sys.argv[:] = argv
    tempfile.tempdir = None
    if CLOCK in env:
        await_clock(Path(env[CLOCK]))
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as said:
        if said.code is None or isinstance(said.code, int):
            _status.append((said.code or 0) & 0xFF)
        raise
    _status.append(0)


def end_at_once() -> None:
    """Take nothing apart that the server has imported: that would copy all of it first, page by page."""
    if _status:
        for each in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if each is not None and not each.closed:
                each.flush()
        os._exit(_status[0])


def await_clock(file: Path) -> None:
    """Wait until the wall clock is as the file says: until then it is as the server's was."""
    apart = float(file.read_text())

    def is_so() -> bool:
        os.utime(1)
        return abs(time.time() - os.fstat(1).st_mtime - apart) < 1  # a file's time is the machine's

    eventually(is_so, f"the wall clock is {apart:g} s from the machine's")


if __name__ == "__main__":
    main()
