"""Every kind of fault, seen by a raw client and in the history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lockstep.mock_api.admin import Fault
from lockstep.mock_api.faults import FaultKind, Latency
from lockstep.mock_api.history import Record as Entry
from tests.integration.mock_process import NodeClient, Running, cluster
from tests.waits import eventually


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with cluster("--nodes", "2", "--port", "0") as running:
        yield running


@pytest.fixture
def running(shared: Running) -> Running:
    shared.admin.reset()
    return shared


@pytest.fixture
def node(running: Running) -> NodeClient:
    return running.nodes["node1"]


def arm(running: Running, kind: FaultKind, **fields: object) -> None:
    fault: Fault = {"kind": kind.value, **fields}  # type: ignore[dict-item]
    running.admin.add_faults(fault, node="node1")


def last(running: Running, group: str = "a") -> Entry:
    return running.admin.history("node1", group)[-1]


def holds(running: Running, group: str = "a") -> bool:
    return group in running.admin.groups("node1")


@pytest.mark.parametrize(("kind", "lands"), [(FaultKind.ERROR_BEFORE, False), (FaultKind.ERROR_AFTER, True)])
def test_an_error_lands_or_not_as_its_kind_says(
    running: Running, node: NodeClient, kind: FaultKind, lands: bool
) -> None:
    arm(running, kind, status=502, methods=["POST"])
    assert node.post("a").status_code == 502
    assert node.get("a").status_code == (200 if lands else 404)
    entry = running.admin.history(group="a")[0]
    assert (entry.status, entry.fault, entry.effect_at is not None) == (502, kind, lands)


@pytest.mark.parametrize(("kind", "lands"), [(FaultKind.HANG_BEFORE, False), (FaultKind.HANG_AFTER, True)])
def test_hanging_for_ever_ends_when_the_client_leaves(
    running: Running, node: NodeClient, kind: FaultKind, lands: bool
) -> None:
    arm(running, kind)
    with pytest.raises(requests.ReadTimeout):
        NodeClient(node.url, timeout=0.2).post("a")
    eventually(lambda: last(running).end == "left", "the node noticed that the client left")
    assert (last(running).status, last(running).answered_at, holds(running)) == (None, None, lands)


@pytest.mark.parametrize(("kind", "status"), [(FaultKind.HANG_BEFORE, 504), (FaultKind.HANG_AFTER, 201)])
def test_hanging_for_a_time_ends_with_an_answer(
    running: Running, node: NodeClient, kind: FaultKind, status: int
) -> None:
    arm(running, kind, seconds=0.2)
    assert node.post("a").status_code == status
    entry = last(running)
    assert entry.answered_at is not None
    assert entry.answered_at - entry.arrived >= 0.19
    assert (entry.status, holds(running)) == (status, status == 201)


@pytest.mark.parametrize(("kind", "lands"), [(FaultKind.RESET_BEFORE, False), (FaultKind.RESET_AFTER, True)])
def test_a_reset_is_a_real_one(running: Running, node: NodeClient, kind: FaultKind, lands: bool) -> None:
    arm(running, kind)
    with node.send("a") as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert (last(running).end, last(running).status, holds(running)) == ("reset", None, lands)


def test_a_malformed_answer_is_html_and_the_write_lands(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.MALFORMED, methods=["POST"])
    answer = node.post("a")
    assert (answer.status_code, answer.text[:6], answer.headers["content-type"][:9]) == (
        201,
        "<html>",
        "text/html",
    )
    assert holds(running)


def test_a_write_is_ignored(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.IGNORE)
    assert (node.post("a").status_code, node.get("a").status_code) == (201, 404)
    assert not holds(running)


def test_a_group_is_no_text_that_is_rewritten(running: Running, node: NodeClient) -> None:
    """Kind.REWRITE is about things of a kind, and has its test beside these."""
    arm(running, FaultKind.REWRITE)
    assert (node.post("a").status_code, node.get("a").json()) == (201, {"groupId": "a"})


def test_a_wrong_id_is_shown_and_not_kept(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.WRONG_ID)
    assert (node.post("a").status_code, node.get("a").json()) == (201, {"groupId": "a-other"})
    assert running.admin.groups("node1") == {"a": {"groupId": "a"}}


def test_an_answer_comes_byte_by_byte_and_stands_still_in_the_middle(
    running: Running, node: NodeClient
) -> None:
    arm(running, FaultKind.DRIBBLE, seconds=0.3)
    began = time.monotonic()
    with node.send("a") as connection:
        whole = connection.makefile("rb").read()
    assert time.monotonic() - began >= 0.29 + 0.0009 * len(whole)
    assert whole.startswith(b"HTTP/1.1 201 Created\r\n")
    assert whole.endswith(b'\r\n\r\n{"groupId": "a"}')
    assert node.get("a").json() == {"groupId": "a"}
    eventually(lambda: last(running).end, "the whole answer was sent")
    assert (last(running).status, last(running).fault) == (200, "dribble")


def test_a_client_may_leave_in_the_middle_of_an_answer(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.DRIBBLE, seconds=60)
    with pytest.raises(requests.RequestException):
        NodeClient(node.url, timeout=0.2).post("a")
    eventually(lambda: last(running).end == "left", "the node noticed that the client left")
    assert (last(running).status, holds(running)) == (None, True)


def test_a_delayed_write_lands_after_its_client_gave_up(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.DELAYED, seconds=0.4)
    node.give_up("a")
    eventually(lambda: last(running).end == "left", "the node noticed that the client left")
    assert node.get("a").status_code == 404
    eventually(lambda: holds(running), "the write landed")
    entry = running.admin.history(group="a")[0]
    assert entry.effect_at is not None
    assert entry.ended_at is not None
    assert entry.effect_at >= entry.ended_at
    assert entry.effect_at - entry.arrived >= 0.39
    assert (entry.before, entry.after, entry.status) == ("absent", "present", None)


def test_a_delayed_write_can_answer_once_it_has_landed(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.DELAYED, seconds=0.2, answers=True)
    assert node.post("a").status_code == 201
    entry = last(running)
    assert (entry.effect_at or 0) - entry.arrived >= 0.19


def test_a_delayed_write_lands_on_a_node_that_went_down(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.DELAYED, seconds=0.2)
    with node.send("a"):
        eventually(lambda: running.admin.history(group="a"), "the call arrived")
        running.admin.down("node1")
        eventually(lambda: holds(running), "the write landed")


def test_refuse_is_about_one_group_and_about_writes(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.REFUSE, group="team-*")
    assert (node.post("team-a").status_code, node.get("team-a").status_code) == (403, 404)
    assert node.post("a").status_code == 201
    assert last(running, "team-a").fault is None
    assert running.admin.history(group="team-a")[0].fault == "refuse"


def test_a_throttle_says_when_to_come_again(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.THROTTLE, status=503, retry_after=7, times=1)
    answer = node.post("a")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert node.post("a").status_code == 201


def test_a_redirect_takes_no_effect(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.REDIRECT, location="http://127.0.0.1:9/")
    answer = node.post("a")
    assert (answer.status_code, answer.headers["location"], holds(running)) == (
        307,
        "http://127.0.0.1:9/",
        False,
    )


def test_an_answer_of_ones_own_takes_no_effect(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.ANSWER, status=418, body={"groupId": "a"}, after=1)
    assert node.get("a").status_code == 404
    answer = node.post("a")
    assert (answer.status_code, answer.json(), holds(running)) == (418, {"groupId": "a"}, False)


def test_down_refuses_connections_and_up_accepts_them(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.DOWN)
    with pytest.raises(ConnectionRefusedError):
        node.send("a")
    assert not running.admin.nodes()["node1"].up
    assert running.nodes["node2"].post("a").status_code == 201
    running.admin.up("node1")
    assert node.post("a").status_code == 201


def test_going_down_resets_what_is_open_and_ends_by_itself(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.HANG_BEFORE, times=1)
    with node.send("a") as connection:
        eventually(lambda: running.admin.history(group="a"), "the call arrived")
        running.admin.down("node1", seconds=0.2)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    eventually(lambda: running.admin.nodes()["node1"].up, "the node came up")
    assert node.post("a").status_code == 201


def test_latency_delays_calls_that_are_otherwise_sound(running: Running, node: NodeClient) -> None:
    arm(running, FaultKind.LATENCY, latency={"fixed": 150})
    started = time.monotonic()
    assert node.post("a").status_code == 201
    assert time.monotonic() - started >= 0.14
    running.admin.set_latency(None, "node1")
    assert running.admin.nodes()["node1"].latency is None
    running.admin.set_latency({"uniform": [1, 2]})
    assert running.admin.nodes()["node2"].latency == Latency(uniform=(1.0, 2.0))


def test_a_seeded_rule_strikes_the_same_calls_after_a_reset(running: Running, node: NodeClient) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        running.admin.reset()
        running.admin.set_faults({"kind": "error_before", "probability": 0.5})
        running.nodes["node2"].get("a")
        runs.append([node.get("a").status_code for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {404, 500}


def test_every_kind_has_a_test_here() -> None:
    source = Path(__file__).read_text()
    assert [kind for kind in FaultKind if f"Kind.{kind.name}" not in source] == []
