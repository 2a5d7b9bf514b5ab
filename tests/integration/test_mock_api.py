"""The mock cluster as a process: how it starts, stops, dies, and what its admin can do."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser

from lockstep.mock_api.admin import AdminError
from tests.integration.mock_process import NodeClient, Running, cluster, launch
from tests.waits import PATIENCE, eventually, opened


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with cluster("--nodes", "3", "--port", "0") as running:
        yield running


@pytest.fixture
def running(shared: Running) -> Running:
    shared.admin.reset()
    return shared


@pytest.fixture
def node(running: Running) -> NodeClient:
    return running.nodes["node1"]


def lines(path: Path, kind: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, path.read_text().splitlines()) if line["line"] == kind]


def test_a_group_is_created_read_and_deleted(node: NodeClient) -> None:
    assert (node.post("a", owner="x").status_code, node.get("a").json()) == (
        201,
        {"groupId": "a", "owner": "x"},
    )
    again = node.post("a")
    assert (again.status_code, "Bad request. Perhaps the object exists." in again.text) == (400, True)
    assert (node.delete("a").status_code, node.delete("a").status_code, node.get("a").status_code) == (
        200,
        404,
        404,
    )


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"groupId": 3}', b'{"groupId": ""}', b"[" * 100_000])
def test_a_malformed_body_answers_400(node: NodeClient, body: bytes) -> None:
    assert node.call("POST", data=body).status_code == 400
    assert node.call("DELETE", data=body).status_code == 400


def test_nodes_hold_groups_apart(running: Running) -> None:
    running.nodes["node1"].post("a")
    assert running.nodes["node2"].get("a").status_code == 404


def test_manners_are_set_per_node(running: Running) -> None:
    running.admin.set_manners("node1", delete_absent=400, post_body="empty")
    one, two = running.nodes["node1"], running.nodes["node2"]
    assert (one.delete("a").status_code, two.delete("a").status_code) == (400, 404)
    assert (one.post("a").content, two.post("a").json()) == (b"", {"groupId": "a"})


def test_openapi_is_served_everywhere_and_describes_the_node_api(running: Running) -> None:
    for url in (*(client.url for client in running.nodes.values()), running.admin.url):
        assert NodeClient(url).call("GET", "/docs").status_code == 200
        paths = NodeClient(url).call("GET", "/openapi.json").json()["paths"]
        assert ("/history" if url == running.admin.url else "/v1/group/{groupId}/") in paths
    paths = running.nodes["node1"].call("GET", "/openapi.json").json()["paths"]
    assert {"201", "400"} <= set(paths["/v1/group/"]["post"]["responses"])
    assert paths["/v1/group/"]["delete"]["requestBody"]["required"]


@pytest.mark.parametrize("of", ["node", "admin"])
def test_the_docs_need_no_internet_and_can_be_tried(running: Running, browser: Browser, of: str) -> None:
    url = running.nodes["node1"].url if of == "node" else running.admin.url
    asked: list[str] = []
    with opened(browser, "about:blank") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/docs")
        described = NodeClient(url).call("GET", "/openapi.json").json()["paths"]
        page.locator("summary").first.wait_for()
        assert page.locator("summary code").all_inner_texts() == [
            path for path, methods in described.items() for _ in methods
        ]
        assert all(each.startswith(url) for each in asked)
        name = "Create a group" if of == "node" else "Add rules after those there are"
        page.get_by_text(name).click()
        form = page.locator("details[open]")
        form.get_by_role("button", name="Send").click()
        answer = form.locator("pre").filter(has_text="team-a" if of == "node" else "fired")
        answer.wait_for()  # "team-a" stands in what is sent as well
        assert answer.inner_text().startswith(("201 Created", "200 OK"))


def test_the_admin_plants_groups_and_the_history_names_it(running: Running, node: NodeClient) -> None:
    running.admin.plant("node1", "team/a b", {"owner": "x"})
    assert running.admin.groups("node1") == {"team/a b": {"groupId": "team/a b", "owner": "x"}}
    assert node.get("team%2Fa%20b").status_code == 200
    running.admin.remove("node1", "team/a b")
    assert [(entry.actor, entry.method, entry.before, entry.after) for entry in running.admin.history()] == [
        ("admin", "PUT", "absent", "present"),
        ("client", "GET", "present", "present"),
        ("admin", "DELETE", "present", "absent"),
    ]
    with pytest.raises(AdminError, match='group "team/a b" is not on node1'):
        running.admin.remove("node1", "team/a b")


def test_the_attempt_header_is_noted(running: Running, node: NodeClient) -> None:
    node.call("POST", json={"groupId": "a"}, headers={"X-Lockstep-Attempt": "7f3c"})
    (entry,) = running.admin.history(group="a")
    assert (entry.attempt, entry.body, entry.status) == ("7f3c", {"groupId": "a"}, 201)
    assert entry.effect_at is not None
    assert entry.arrived <= entry.effect_at


def test_wrong_faults_are_turned_down_whole(running: Running) -> None:
    with pytest.raises(AdminError, match='kind is "eror"'):
        running.admin.add_faults({"kind": "refuse"}, {"kind": "eror"})
    with pytest.raises(AdminError, match='node "node9" is not in the cluster; known: node1'):
        running.admin.add_faults({"kind": "refuse"}, node="node9")
    assert running.admin.faults() == {"node1": [], "node2": [], "node3": []}


def test_reset_clears_everything_and_drops_what_is_under_way(running: Running, node: NodeClient) -> None:
    running.admin.add_faults({"kind": "delayed", "seconds": 0.3})
    running.admin.down("node2")
    running.admin.plant("node3", "old")
    with node.send("late") as connection:
        eventually(lambda: running.admin.history(group="late"), "the call arrived")
        running.admin.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    running.admin.add_faults({"kind": "delayed", "seconds": 0.4}, node="node1")
    node.give_up("later")
    eventually(lambda: "later" in running.admin.groups("node1"), "the later write landed")
    assert "late" not in running.admin.groups("node1")
    assert {entry.group for entry in running.admin.history()} == {"later"}
    assert all(one.up for one in running.admin.nodes().values())
    assert running.admin.groups("node3") == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_though_calls_hang(number: signal.Signals, tmp_path: Path) -> None:
    with cluster("--nodes", "2", "--port", "0", "--history", str(tmp_path / "history")) as running:
        running.admin.add_faults({"kind": "hang_before"})
        with running.nodes["node1"].send("a") as connection:
            eventually(running.admin.history, "the call arrived")
            running.process.send_signal(number)
            assert running.process.wait(PATIENCE) == 0
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def test_a_killed_node_keeps_its_groups_and_its_history(tmp_path: Path) -> None:
    state, history = tmp_path / "state", tmp_path / "history"
    alone = ("--node", "node3", "--port", "0", "--state", str(state), "--history", str(history))
    with cluster(*alone) as running:
        assert list(running.nodes) == ["node3"]
        running.nodes["node3"].post("kept", owner="x")
        running.admin.add_faults(
            {"kind": "delayed", "group": "late", "seconds": 0.1}, {"kind": "hang_before", "group": "never"}
        )
        running.nodes["node3"].give_up("late")
        eventually(lambda: "late" in running.admin.groups("node3"), "the late write landed")
        with running.nodes["node3"].send("never"):
            eventually(lambda: running.admin.history(group="never"), "the last call arrived")
            running.process.kill()
            running.process.wait(PATIENCE)
    with cluster(*alone) as running:
        assert running.nodes["node3"].get("kept").json() == {"groupId": "kept", "owner": "x"}
        assert running.nodes["node3"].get("late").status_code == 200
        running.nodes["node3"].delete("late")
    assert [(line["effect_seq"], line["group"], line["after"]) for line in lines(history, "effect")] == [
        (1, "kept", "present"),
        (2, "late", "present"),
        (3, "late", "absent"),
    ]
    numbers = [line["seq"] for line in lines(history, "request")]
    assert len(numbers) == len(set(numbers))


def test_the_faults_file_is_in_force_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"kind": "refuse", "node": "node1"}, {"kind": "down", "node": "node2"}]')
    with cluster("--ports", "0,0", "--faults", str(path)) as running:
        assert running.nodes["node1"].post("a").status_code == 403
        with pytest.raises(requests.ConnectionError):
            running.nodes["node2"].get("a")


def test_wrong_input_ends_with_2_and_one_line(running: Running) -> None:
    port = running.nodes["node1"].url.rsplit(":", 1)[1]
    process = launch("--ports", port, "--admin-port", "0")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert f"port {port} on 127.0.0.1 cannot be used" in err
