"""Where a worker keeps its counts, and its port: what it leaves to others, and what it takes with it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from prometheus_client import Counter, Histogram, values

from lockstep.producer.stack.ports import free_port
from lockstep.worker.monitoring.endpoint import (
    FILES,
    Figures,
    Metrics,
    MetricsRequest,
    MetricsServer,
    claimed_folder,
)
from lockstep.worker.monitoring.metrics import METERS
from tests.waits import PATIENCE


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(FILES, "")
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    return tmp_path


def test_a_folder_is_removed_by_the_next_worker_once_its_own_is_gone(folders: Path) -> None:
    first, held = claimed_folder()
    second, others = claimed_folder()
    assert {first, second} == {str(each) for each in folders.iterdir()}
    held.close()
    third, own = claimed_folder()
    assert {second, third} == {str(each) for each in folders.iterdir()}
    others.close()
    own.close()


def test_a_folder_that_cannot_be_removed_keeps_no_worker_from_its_start(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, held = claimed_folder()
    held.close()
    monkeypatch.setattr(os, "rmdir", refused)
    second, own = claimed_folder()
    assert {first, second} == {str(each) for each in folders.iterdir()}
    own.close()


def refused(*_: object, **__: object) -> None:
    raise PermissionError("not yours")


def test_a_folder_that_another_worker_removed_before_it_was_locked_is_made_anew(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = fcntl.flock, list[Path]()

    def late(file: int, how: int) -> None:
        if not removed:
            removed.extend(folders.iterdir())
            shutil.rmtree(removed[0])
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    made, own = claimed_folder()
    assert [str(each) for each in folders.iterdir()] == [made] != [str(removed[0])]
    own.close()


def test_a_child_that_ends_leaves_the_port_and_the_files_to_its_parent(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, port = Metrics(), free_port(0)
    kinds = {name: type(meter) for name, meter in counts.meters.items()}
    assert kinds == {name: Histogram if buckets else Counter for name, (_, _, buckets) in METERS.items()}
    stop, own = counts.serve("127.0.0.1", port, Figures), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: own + 1)
    stop()
    assert "lockstep_record_up 1.0" in requests.get(f"http://127.0.0.1:{port}", timeout=PATIENCE).text
    monkeypatch.setattr(os, "getpid", lambda: own)
    stop()
    assert list(folders.iterdir()) == []
    assert counts._claim.closed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def test_a_request_beyond_eight_is_turned_away_and_the_next_is_answered() -> None:
    with MetricsServer(("127.0.0.1", 0), MetricsRequest) as door:
        assert (door.server_name, door.server_address) == ("127.0.0.1", ("127.0.0.1", door.server_port))
        door.timeout = PATIENCE
        held = [
            socket.create_connection((door.server_name, door.server_port), timeout=PATIENCE) for _ in range(9)
        ]
        for _ in held:
            door.handle_request()
        assert held[8].recv(1) == b"", "it is turned away"
        for each in held[:8]:
            each.settimeout(0.01)
            with pytest.raises(TimeoutError):
                each.recv(1)
        for each in held:
            each.close()


@pytest.mark.parametrize("has_ipv6", [True, False])
def test_a_named_address_is_the_only_one(has_ipv6: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: has_ipv6)
    for address in ("127.0.0.1", "::1"):
        with MetricsServer((address, 0), MetricsRequest) as door:
            assert door.server_address[0] == address


def test_a_line_is_cut_after_fifteen_seconds_and_one_that_is_gone_harms_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("lockstep.worker.monitoring.endpoint.time.monotonic", lambda: now)
    with MetricsServer(("127.0.0.1", 0), MetricsRequest) as door:
        lines = [socket.socketpair() for _ in range(2)]
        door._begun = {ours: now for ours, _ in lines}
        lines[0][0].close()
        for passed, over in ((15.0, False), (15.1, True)):
            now = 100.0 + passed
            door.service_actions()
            lines[1][1].settimeout(0.01)
            said = None
            with suppress(TimeoutError):
                said = lines[1][1].recv(1)
            assert (said == b"") is over
        for pair in lines:
            for each in pair:
                each.close()
