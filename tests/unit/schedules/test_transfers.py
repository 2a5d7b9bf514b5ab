"""The thread that carries calls, and who asks for them, with a libcurl and sockets of the schedule's own."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pycurl
import pytest

from lockstep.worker.hosts import curl, transfer
from lockstep.worker.hosts.client import Call, Detail
from lockstep.worker.operation.answer import CallFigures, NoReply, Reply, Trouble
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.process import greenlets
from lockstep.worker.settings import Settings
from tests.unit.schedules import Check, Schedule, explore

SILENT, TALKING = "/silent", "/talking"
SETTINGS = Settings(read_timeout=1)
ENDS = ("127.0.0.1", "127.0.0.1", 80, 40_000)
OVERDUE = 0.5
"""Seconds after which the call of somebody who has gone is given up: sooner than a silent host's."""


class Curl:
    """What a call has of libcurl: what it was told, and where its answer goes."""

    def __init__(self) -> None:
        self.told: dict[int, Any] = {}
        self.closed = False

    def setopt(self, option: int, value: object) -> None:
        self.told[option] = value

    def getinfo(self, of: int) -> int:
        return {pycurl.ACTIVESOCKET: -1, pycurl.RESPONSE_CODE: 200}.get(of, 0)

    def close(self) -> None:
        self.closed = True

    @property
    def path(self) -> str:
        return str(self.told[pycurl.REQUEST_TARGET])


class Multi:
    """Sends what it is given as soon as it is driven; all but a silent host answers at once."""

    def __init__(self, may_not: set[str], late: list[str], made: list[Multi]) -> None:
        self.may_not, self.late = may_not, late
        made.append(self)
        self.to_send: list[Curl] = []
        self.done: list[tuple[Curl, int]] = []

    def setopt(self, *_: object) -> None:
        """There is nothing to keep, and no socket to follow."""

    def timeout(self) -> int:
        return 0 if self.to_send else -1

    def add_handle(self, call: Curl) -> None:
        self.to_send.append(call)

    def socket_action(self, *_: object) -> None:
        sent, self.to_send = self.to_send, []
        for call in sent:
            over = call.path in self.may_not
            if call.told[pycurl.PREREQFUNCTION](*ENDS) != pycurl.PREREQFUNC_OK:
                self.done.append((call, pycurl.E_ABORTED_BY_CALLBACK))
                continue
            self.late += [call.path] if over else []
            if call.path == TALKING:
                call.told[pycurl.HEADERFUNCTION](b"HTTP/1.1 200 OK\r\n")
                call.told[pycurl.HEADERFUNCTION](b"\r\n")
                call.told[pycurl.WRITEFUNCTION](b"said")
                self.done.append((call, 0))

    def info_read(self) -> tuple[int, list[Curl], list[tuple[Curl, int, str]]]:
        done, self.done = self.done, []
        assert not any(call.closed for call, _ in done), "closed while libcurl had it"
        return 0, [call for call, code in done if not code], [(call, code, "") for call, code in done if code]


class Poll:
    """Waits for the bell as the schedule waits."""

    def __init__(self, schedule: Schedule) -> None:
        self._wait, self._sockets = schedule.block, select.poll()
        self.register = self._sockets.register

    def poll(self, milliseconds: float | None) -> list[tuple[int, int]]:
        self._wait(lambda: bool(self._sockets.poll(0)), None if milliseconds is None else milliseconds / 1000)
        return self._sockets.poll(0)


@pytest.mark.parametrize("interrupts", [False, True])
def test_who_asks_hears_what_came_of_his_call_and_what_it_took(
    interrupts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once he has gone, no byte of it leaves, and nothing is kept of it."""

    def scenario(schedule: Schedule) -> Check:
        gone: set[str] = set()
        late: list[str] = []
        heard: dict[str, Reply | NoReply] = {}
        took: dict[str, CallFigures | None] = {}
        made: list[Multi] = []
        multi = partial(Multi, gone, late, made)
        library = SimpleNamespace(**{**vars(pycurl), "Curl": Curl, "CurlMulti": multi})
        monkeypatch.setattr(curl, "pycurl", library)
        monkeypatch.setattr(transfer, "pycurl", library)
        monkeypatch.setattr(
            curl, "select", SimpleNamespace(poll=partial(Poll, schedule), POLLIN=select.POLLIN)
        )
        monkeypatch.setattr(curl, "watches", [partial(watch, took)])
        loop = curl.Loop()

        def ask(path: str) -> None:
            try:
                heard[path] = loop.carry(call(path))
            finally:
                gone.add(path)

        schedule.thread(ask, SILENT, hears_signals=interrupts)
        schedule.thread(ask, TALKING)

        def stay() -> None:
            schedule.block(lambda: len(gone) == 2)
            schedule.block(lambda: False, OVERDUE)  # whatever is left of them would show

        schedule.thread(stay)

        def check() -> None:
            for end in loop._bell:
                os.close(end)
            said = heard[TALKING]
            assert isinstance(said, Reply)
            assert said.body == b"said"
            silent = NoReply(Trouble.LOST, Detail.SILENT)
            assert heard.get(SILENT, silent if interrupts else None) == silent
            assert [path for path in heard if took[path] is None] == []
            assert late == []
            assert (len(made), loop._calls) == (1, {})

        return check

    tried = explore(scenario, [curl, transfer, greenlets], departures=1, most=3000)
    assert tried.complete == 1, "every schedule with one departure"


def call(path: str) -> Call:
    host = Host(HostName("node1"), "http://node1")
    ends = time.monotonic() + 3600
    return Call(
        "GET",
        path,
        host=host,
        settings=SETTINGS,
        ends=ends,
        may_send=lambda: True,
        stopping=lambda: False,
    )


def watch(
    took: dict[str, CallFigures | None], _: str, url: str
) -> tuple[dict[str, str], Callable[[CallFigures | None], None]]:
    path = url.removeprefix("http://node1")

    def told(figures: CallFigures | None) -> None:
        took[path] = figures

    return {}, told
