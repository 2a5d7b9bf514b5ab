"""Asking a host itself, over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from lockstep import ClusterClient, HostUnavailable, load_settings
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand
from tests.contract.producer.nodes import ERROR, GONE, HERE, Node


@pytest.fixture
def node(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setenv("LOCKSTEP_BACKOFF_BASE", "0.01")
    with Node() as made:
        monkeypatch.setenv("LOCKSTEP_HOSTS", made.url)
        yield made


@pytest.mark.parametrize(("answers", "held"), [([HERE], True), ([GONE], False), ([ERROR, ERROR, HERE], True)])
def test_the_host_is_asked_until_it_answers(node: Node, answers: list[tuple[int, str]], held: bool) -> None:
    node.answers = list(answers)
    with ClusterClient(load_settings()) as cluster:
        assert cluster.group_exists(node.name, "team-a") is held
    assert node.asked == ["/v1/group/team-a/"] * len(answers)


def test_a_group_too_large_to_read_is_there(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_MAX_BODY_BYTES", "10")
    node.answers = [HERE]
    with ClusterClient(load_settings()) as cluster:
        assert cluster.group_exists(node.name, "team-a")


def test_a_host_that_gives_no_usable_answer_is_named(node: Node) -> None:
    node.answers = [ERROR]
    with ClusterClient(load_settings()) as cluster, pytest.raises(HostUnavailable) as caught:
        cluster.group_exists(node.name, "team-a")
    assert str(caught.value) == (
        f'host "{node.name}" gave no usable answer (500), asked 5 times: '
        "see whether it is up, and its URL in the inventory"
    )
    assert len(node.asked) == 5


@pytest.mark.parametrize("status", [401, 403, 302])
def test_a_host_that_is_set_up_wrongly_is_asked_once(node: Node, status: int) -> None:
    node.answers = [(status, "")]
    with ClusterClient(load_settings()) as cluster, pytest.raises(HostUnavailable, match="asked once"):
        cluster.group_exists(node.name, "team-a")
    assert len(node.asked) == 1


def test_a_silent_host_is_asked_once_and_no_longer_than_a_call_may_take(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"CONNECT_TIMEOUT": "0.5", "READ_TIMEOUT": "1", "CALL_TIMEOUT": "1.5", "BACKOFF_BASE": "0.01"}
    for name, value in times.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}", value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LOCKSTEP_HOSTS", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with ClusterClient(load_settings()) as cluster, pytest.raises(HostUnavailable) as caught:
            cluster.group_exists("127.0.0.1", "team-a")
    assert "read timeout), asked once: " in str(caught.value)


def test_the_shell_answers_by_exit_code(node: Node, lockstep: Run, hand: Hand) -> None:
    node.answers = [HERE]
    ran = lockstep("exists", node.name, "team-a")
    assert (ran.code, ran.out, ran.err) == (0, f'group "team-a" exists on {node.name}\n', "")

    node.answers = [GONE]
    ran = lockstep("exists", node.name, "team-a")
    assert (ran.code, ran.out, ran.err) == (1, f'group "team-a" does not exist on {node.name}\n', "")

    node.answers = [ERROR]
    ran = lockstep("exists", node.name, "team-a")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith(f'lockstep: error: host "{node.name}" gave no usable answer (500)')
    assert hand.keys() == []


@pytest.mark.parametrize(("answer", "exists", "code"), [(HERE, True, 0), (GONE, False, 1), (ERROR, None, 4)])
def test_the_answer_in_json(
    node: Node, lockstep: Run, answer: tuple[int, str], exists: bool | None, code: int
) -> None:
    node.answers = [answer]
    ran = lockstep("exists", node.name, "team-a", "--json")
    document = json.loads(ran.out)
    assert ran.code == code
    assert set(document) == {"host", "group", "exists", "reason"}
    assert (document["host"], document["group"], document["exists"]) == (node.name, "team-a", exists)
    assert (document["reason"] is None) is (exists is not None)
