"""Asking a host itself, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from producer import ClusterClient, HostUnavailable, load_settings
from tests.integration.producer.conftest import Run
from tests.integration.producer.hand import Hand


class Node:
    """A host that gives the answers of a list, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.asked: list[str] = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                node.asked.append(self.path)
                status, body = node.answers.pop(0) if len(node.answers) > 1 else node.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.name = "127.0.0.1"


@pytest.fixture
def node(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    made = Node()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("LOCKSTEP_HOSTS", made.url)
    monkeypatch.setenv("LOCKSTEP_BACKOFF_BASE", "0.01")
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


HERE = (200, json.dumps({"groupId": "team-a"}))
GONE = (404, "")
ERROR = (500, "")


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
