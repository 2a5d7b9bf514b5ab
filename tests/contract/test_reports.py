"""Which worker has which inventory, as it reports beside its clock."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Event
from types import SimpleNamespace

import pytest

from lockstep.worker.record import reports as module
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.reports import Clocks, HeldInventory
from tests.contract.bench import PREFIX, RedisBench
from tests.unit.raw_server import refusing_port
from tests.waits import PATIENCE, eventually


@pytest.fixture
def clocks(redis_bench: RedisBench) -> Clocks:
    return Clocks(redis_bench.client, Keys(PREFIX))


def test_each_worker_reports_what_it_has(clocks: Clocks, redis_bench: RedisBench) -> None:
    clocks.tell("a@x", lambda: ("d1", 3, 60.0, ""))
    clocks.tell("b@x", lambda: ("d2", 4, 0.0, "it is no UTF-8 text"))
    clocks.tell("beat@x")
    told = clocks.inventories()
    assert list(told) == ["a@x", "b@x"]
    assert redis_bench.now() - 120_000 < told["a@x"].read_at <= redis_bench.now() - 60_000
    assert told["a@x"] == HeldInventory("d1", 3, told["a@x"].read_at)
    assert told["b@x"] == HeldInventory("d2", 4, told["b@x"].read_at, "it is no UTF-8 text")
    assert set(clocks.all()) == {"a@x", "b@x", "beat@x"}


def test_a_worker_reports_once_what_it_was_told_of_another_clock(clocks: Clocks) -> None:
    clocks.heard["flower@y"] = 7_000
    clocks.tell("a@x")
    assert clocks.all()["flower@y"] == 7_000
    assert clocks.too_old() == [], "it reads no record"
    clocks.heard["flower@y"] = 8_000
    clocks.tell("a@x")
    assert clocks.all()["flower@y"] == 8_000
    assert not clocks.heard


def test_a_worker_that_is_silent_is_forgotten(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks.tell("a@x", lambda: ("d1", 3, 0.0, ""))
    monkeypatch.setattr(module, "FORGOTTEN", -2_000)
    assert clocks.inventories() == {}


def test_what_a_process_that_has_ended_reported_is_dropped(
    clocks: Clocks, redis_bench: RedisBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "ahead", lambda: 7)
    key, now = Keys(PREFIX).clocks, redis_bench.now()
    for name, at in (("ended@x", now - 61_000), ("lives@x", now - 30_000)):
        redis_bench.client.hset(key, name, json.dumps({"at": at, "ahead": 7}))
    redis_bench.client.hset(key, "damaged@x", "no JSON")
    assert clocks.all() == {"lives@x": 7}
    assert clocks.too_old() == ["lives@x"], "it says nothing of the formats that it reads"
    clocks.tell("a@x", lambda: ("d1", 3, 60.0, ""))
    assert now <= clocks.inventories()["a@x"].read_at + 60_000 <= redis_bench.now()
    assert set(redis_bench.client.hkeys(key)) == {"a@x", "lives@x"}
    clocks.tell("a@x")
    assert (set(clocks.all()), clocks.too_old()) == ({"a@x", "lives@x"}, ["lives@x"])


def test_a_worker_reports_its_clock_again_and_again(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    def rest(seconds: float) -> None:
        done.append(seconds)
        if len(done) == 4:
            Event().wait()

    monkeypatch.setattr(Clocks, "tell", lambda _, process, has: done.append(process))
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=rest))
    clocks.tell_for_ever("a@x")
    eventually(lambda: len(done) == 4, "it rested twice")
    assert done == ["a@x", module.EVERY] * 2


def test_a_process_ends_though_it_reports_for_ever_and_sends_in_a_thread() -> None:
    code = (
        "from lockstep.worker.operation.errors import StoreUnavailable\n"
        "from lockstep.worker.record.link import Link; from lockstep.worker.settings import load_settings\n"
        f"link = Link(load_settings(redis_url='redis://127.0.0.1:{refusing_port()}/0'))\n"
        "link.clocks.tell_for_ever('a@x')\n"
        "try: link.store.cancel('one', 'ann')\n"
        "except StoreUnavailable: print('told')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=False, capture_output=True)
    assert (ran.returncode, ran.stdout) == (0, b"told\n")
