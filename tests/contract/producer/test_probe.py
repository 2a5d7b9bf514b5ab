"""lockstep probe against mock nodes that keep the contract, break it, lose answers, or land writes late."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from lockstep.mock_api.admin import Fault
from tests.contract.producer.conftest import Run
from tests.contract.producer.laggard import Lagging
from tests.integration.mock_process import Running, cluster
from tests.integration.producer.test_cli_process import start
from tests.raw_server import serving
from tests.unit.producer.scratch_node import KEPT
from tests.waits import PATIENCE, eventually

SHORT = {"CONNECT_TIMEOUT": "1", "READ_TIMEOUT": "1", "CALL_TIMEOUT": "2", "SETTLE_SECONDS": "2"}
EARLIER = 8
"""POSTs before the six whose client leaves."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with cluster("--nodes", "1", "--port", "0") as running:
        yield running


@pytest.fixture
def node(shared: Running, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Running:
    shared.admin.reset()
    for name, value in {**SHORT, "BACKOFF_BASE": "0.01", "HOSTS": shared.nodes["node1"].url}.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}", value)
    monkeypatch.setattr("lockstep.producer.doctor.contract.PAUSE", 0.01)
    monkeypatch.setattr("lockstep.producer.doctor.scratch.HOLDS", (0.0, 0.1))
    return shared


@pytest.fixture
def patient(node: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shipped times nothing is late or silent, however busy this machine is."""
    for setting in SHORT:
        monkeypatch.delenv(f"LOCKSTEP_{setting}")


@pytest.fixture
def name(node: Running) -> str:
    return "127.0.0.1"


def spoil(node: Running, kind: str, **fields: object) -> None:
    fault: Fault = {"kind": kind, **fields}  # type: ignore[dict-item]
    node.admin.add_faults(fault)


def said(out: str) -> dict[str, str]:
    return {each["subject"]: each["text"] for each in json.loads(out)["findings"]}


def levels(out: str) -> dict[str, str]:
    return {each["subject"]: each["level"] for each in json.loads(out)["findings"] if each["level"] != "ok"}


def wrote_only_scratch_groups(node: Running) -> bool:
    groups = {entry.group for entry in node.admin.history() if entry.group}
    return bool(groups) and all(group.startswith("lockstep-probe-") for group in groups)


@pytest.mark.usefixtures("patient")
def test_a_host_that_keeps_the_contract(lockstep: Run, node: Running, name: str) -> None:
    node.admin.plant("node1", "team-a")
    ran = lockstep("probe", name)
    assert ran.code == 0
    assert ran.err == (
        f"scratch groups are written to {name} and deleted again; this may take 30 s and more\n"
    )
    lines = [line.split(None, 1) for line in ran.out.splitlines()]
    assert {level for level, _ in lines} == {"ok"}
    for subject, text in KEPT.items():
        assert f"ok       {subject:<26} {text}\n" in ran.out
    assert "late writes                6 of 6 took effect, the last " in ran.out
    assert set(node.admin.groups("node1")) == {"team-a"}


@pytest.mark.usefixtures("patient")
def test_nothing_is_written_to_redis_and_none_is_needed(
    lockstep: Run, node: Running, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "redis://127.0.0.1:1/0")
    ran = lockstep("probe", name)
    assert ran.code == 0, ran.out


@pytest.mark.usefixtures("patient")
def test_the_document_of_json(lockstep: Run, node: Running, name: str) -> None:
    document = json.loads(lockstep("probe", name, "--json").out)
    assert set(document) == {"host", "healthy", "settle_seconds", "findings", "late_writes", "left"}
    assert (document["host"], document["healthy"], document["left"]) == (name, True, []), document
    assert document["settle_seconds"] >= 1
    assert {each["stayed"] for each in document["late_writes"]} == {0.0, 0.1}
    assert all(0 <= each["landed"] < PATIENCE and each["trouble"] is None for each in document["late_writes"])


@pytest.mark.usefixtures("patient")
def test_nodes_that_differ_where_they_may(lockstep: Run, node: Running, name: str) -> None:
    node.admin.set_manners("node1", delete_absent=400, post_body="empty")
    ran = lockstep("probe", name, "--json")
    assert ran.code == 0
    assert said(ran.out)["DELETE of an absent group"] == "400"


@pytest.mark.parametrize(
    ("fault", "subject", "level", "text"),
    [
        (
            {"kind": "answer", "methods": ["GET"], "status": 200, "body": {"groupId": "other"}},
            None, "", "no usable answer",
        ),
        ({"kind": "refuse", "status": 403, "methods": ["POST"]}, "POST of a new group", "failure",
         "403, instead of 201"),
        ({"kind": "refuse", "status": 422, "methods": ["DELETE"]}, "DELETE of an absent group", "failure",
         "422, instead of 400 or 404"),
        ({"kind": "answer", "methods": ["DELETE"], "status": 200, "times": 1}, "DELETE of a present group",
         "failure", "200, but a GET still shows the group"),
        ({"kind": "answer", "methods": ["POST"], "status": 201, "times": 1}, "POST of a new group", "failure",
         "201, but a GET does not show the group"),
        ({"kind": "answer", "methods": ["POST"], "status": 202}, "POST of a new group", "failure",
         "no usable answer in 10 tries (202)"),
    ],
)  # fmt: skip
def test_a_host_that_breaks_the_contract(
    lockstep: Run,
    node: Running,
    name: str,
    fault: dict[str, object],
    subject: str | None,
    level: str,
    text: str,
) -> None:
    spoil(node, **fault)  # type: ignore[arg-type]
    ran = lockstep("probe", name, "--json", "--watch", "1")
    if subject is None:
        assert (ran.code, ran.out) == (4, "")
        assert text in ran.err
        return
    assert ran.code == 1
    assert levels(ran.out)[subject] == level
    assert said(ran.out)[subject] == text


@pytest.mark.parametrize("known", [False, True])
def test_a_host_whose_get_lags_is_told_what_to_give(
    lockstep: Run, node: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: bool
) -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Lagging)) as server:
        host = {"name": "slow", "url": f"http://127.0.0.1:{server.server_port}"}
        (tmp_path / "hosts").write_text(json.dumps([{**host, **({"shows_after": 2} if known else {})}]))
        monkeypatch.delenv("LOCKSTEP_HOSTS")
        monkeypatch.setenv("LOCKSTEP_INVENTORY", str(tmp_path / "hosts"))
        ran = lockstep("probe", "slow", "--json", "--watch", "3")
    found = {each["subject"]: each for each in json.loads(ran.out)["findings"]}
    lagging = {"POST of a new group", "DELETE of a present group"}
    assert {subject for subject in KEPT if found[subject]["level"] != "ok"} == (set() if known else lagging)
    for each in (found[subject] for subject in lagging):
        assert re.fullmatch(
            r"20[01], and a GET shows it after \d\.\d s(, as shows_after says)?", each["text"]
        )
        if not known:
            assert re.match(r"`shows_after: [123]s` for this host in the inventory", each["remedy"])
    assert json.loads(ran.out)["left"] == []
    assert all(changes[-1][1] is None for changes in Lagging.changes.values())


def test_unknown_fields_that_are_dropped_or_refused(lockstep: Run, node: Running, name: str) -> None:
    # Of the POSTs the sixth has the unknown field.
    spoil(node, "answer", methods=["POST"], status=400, after=5, times=1, body="no such field")
    assert said(lockstep("probe", name, "--json").out)["unknown fields"] == "refused (400)"


def test_lost_answers_are_asked_for_again(lockstep: Run, node: Running, name: str) -> None:
    spoil(node, "error_before", probability=0.2, methods=["POST", "DELETE"])
    spoil(node, "reset_after", probability=0.2, methods=["POST", "DELETE"])
    ran = lockstep("probe", name, "--json", "--watch", "3")
    assert ran.code in (0, 1), ran.err
    assert {subject: said(ran.out)[subject] for subject in KEPT} == KEPT
    assert node.admin.groups("node1") == {}
    assert wrote_only_scratch_groups(node)


def test_writes_that_land_late_are_timed(lockstep: Run, node: Running, name: str) -> None:
    spoil(node, "delayed", seconds=5, methods=["POST"], after=EARLIER)
    ran = lockstep("probe", name, "--json", "--watch", "40")
    document = json.loads(ran.out)
    landed = [each["landed"] for each in document["late_writes"]]
    assert ran.code == 1
    assert all(at is not None and 3 <= at <= PATIENCE for at in landed), landed  # a busy machine leaves late
    assert document["settle_seconds"] >= 3 * 3
    assert levels(ran.out) == {"settle_seconds": "failure"}
    assert said(ran.out)["settle_seconds"].startswith("2 is too short: a write landed ")
    assert node.admin.groups("node1") == {}


def test_writes_that_are_given_up_with_their_client(lockstep: Run, node: Running, name: str) -> None:
    spoil(node, "hang_before", methods=["POST"], after=EARLIER)
    ran = lockstep("probe", name, "--json", "--watch", "2")
    document = json.loads(ran.out)
    assert ran.code == 0
    assert [each["landed"] for each in document["late_writes"]] == [None] * 6
    text = said(ran.out)
    assert text["late writes"] == (
        "6 of 6 had no effect within 2 s: they were given up, or take longer than this"
    )
    assert "not seen yet, and possible later: lockstep-probe-" in text["clean-up"]


def test_a_look_shorter_than_the_setting_is_worth_a_word(lockstep: Run, node: Running, name: str) -> None:
    spoil(node, "hang_before", methods=["POST"], after=EARLIER)
    ran = lockstep("probe", name, "--watch", "0.5")
    assert ran.code == 1
    assert "-> look longer: --watch 2" in ran.out


def test_what_cannot_be_deleted_is_named(
    lockstep: Run, node: Running, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstep.producer.doctor.scratch.PERSISTENCE", 2)
    spoil(node, "refuse", methods=["DELETE"])
    ran = lockstep("probe", name, "--json", "--watch", "5")
    held = set(node.admin.groups("node1"))
    assert ran.code == 1
    assert held
    assert set(json.loads(ran.out)["left"]) == held
    assert levels(ran.out)["clean-up"] == "failure"


def test_an_interrupt_leaves_no_group_behind(node: Running, name: str) -> None:
    spoil(node, "hang_before", methods=["POST"], after=EARLIER)
    with start("probe", name) as process:
        eventually(lambda: len(node.admin.history()) > 30, "it looks for late writes")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert node.admin.groups("node1") == {}


def test_a_host_that_is_down_is_not_written_to(lockstep: Run, node: Running, name: str) -> None:
    node.admin.down("node1")
    ran = lockstep("probe", name)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.splitlines()[-1].startswith(
        f'lockstep: error: host "{name}" gave no usable answer (not sent: connection refused)'
    )


@pytest.mark.parametrize("watch", ["0", "-1", "nan", "inf", "3601"])
def test_a_watch_out_of_range_is_refused(lockstep: Run, node: Running, name: str, watch: str) -> None:
    ran = lockstep("probe", name, f"--watch={watch}")
    rule = "is out of range: give seconds above 0, at most 3600"
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"lockstep: error: watch {float(watch)} {rule}\n"
    assert node.admin.history() == []


def test_an_unknown_host_is_refused(lockstep: Run, node: Running) -> None:
    ran = lockstep("probe", "node9")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == 'lockstep: error: host "node9" is not in the inventory; known: 127.0.0.1\n'
