"""Processes that are forked from a warm one: an end that was told to one thread is told to each that asks."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import cast

from tests.waits import eventually
from tests.warm import Forked, Server


class Once:
    """A server that can tell an end once, as the kernel does; two that ask together are let in together."""

    def __init__(self) -> None:
        self.asked = 0
        self._process = subprocess.Popen(["true"])
        self._both = Barrier(2)

    def ask(self, what: Mapping[str, object], *descriptors: int) -> int:
        if "pid" not in what:
            return self._process.pid
        self.asked += 1
        with suppress(BrokenBarrierError):
            self._both.wait(0.2)
        self._process.wait()
        return 3


def test_the_end_of_a_process_is_asked_for_once_by_however_many() -> None:
    server = Once()
    forked = Forked(cast(Server, server), ["x"], {}, Path("/"))
    with ThreadPoolExecutor(2) as threads:
        told = [threads.submit(each) for each in (partial(eventually, forked.poll, "it ends"), forked.wait)]
        assert [each.result() for each in told] == [3, 3]
    assert server.asked == 1
