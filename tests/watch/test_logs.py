"""Logs that machines read, and a secret that is found nowhere."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from lockstep.producer.stack.ports import free_port
from lockstep.worker.operation.model import Action, State
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually
from tests.watch.conftest import LOOK

CANARY = f"canary-{secrets.token_hex(12)}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three nodes that want a token, and one that speaks no TLS where TLS is expected."""
    with parts(tmp_path) as found:
        _, cluster, _ = found
        token = tmp_path / "token"
        token.write_text(f"{CANARY}\n")
        urls = {**cluster.nodes, "node4": cluster.nodes["node1"].replace("http://", "https://")}
        entries = (
            f"  - name: {name}\n    url: {url}\n    token_file: {token}\n" for name, url in urls.items()
        )
        (tmp_path / "hosts.yaml").write_text("hosts:\n" + "".join(entries))
        made = Bench(*found, tmp_path / "bench", {"inventory": str(tmp_path / "hosts.yaml")})
        try:
            yield made
        finally:
            made.close()


def lines(text: str) -> list[dict[str, object]]:
    """Read all lines but one that is still being written."""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()]


def test_lines_are_json_with_the_ids_of_their_task_and_no_secret_is_told_anywhere(
    bench: Bench, tmp_path: Path
) -> None:
    assert {host.token_file for host in bench.inventory} == {str(tmp_path / "token")}
    port = free_port(0)
    flower = f"http://127.0.0.1:{port}"
    arguments = ["-m", "lockstep.worker.monitoring.flower", "--address=127.0.0.1", f"--port={port}"]
    remembers = {"FLOWER_DB": str(tmp_path / "flower"), "FLOWER_STATE_SAVE_INTERVAL": "500"}
    bench.child("flower", arguments, {"FLOWER_UNAUTHENTICATED_API": "true", **remembers})
    eventually(lambda: answers(f"{flower}/healthcheck"), "Flower answers")
    env = {
        "LOCKSTEP_LOG_FORMAT": "json",
        "LOCKSTEP_HEARTBEAT_DIR": str(tmp_path / "signs"),
        "PYTHONWARNINGS": "ignore",  # Celery warns of root before logs are set up
    }
    beat = bench.beat()
    worker = bench.worker(app="tests.watch.early", env=env, options=["-l", "DEBUG"])
    bench.admin.add_faults({"kind": "refuse", "methods": ["POST"], "status": 401}, node="node3")
    operation = bench.start(Action.CREATE)
    assert bench.end(operation).operation.state is State.ROLLED_BACK
    eventually(lambda: "TLS error" in worker.output(), "the TLS call has failed")
    eventually(lambda: operation in told(f"{flower}/api/tasks"), "Flower has heard of it", latest=LOOK)

    written = worker.output()
    (early,) = [line["names"] for line in lines(written) if line["event"] == "threads before the logs"]
    assert early == ["MainThread", "heartbeat"], "a thread that logs would write no JSON yet, and no mask"
    refused = [line for line in lines(written) if line["event"] == "create: 401"]
    assert [(line["operation"], line["group"], line["host"]) for line in refused] == [
        (operation, bench.group, "node3")
    ]
    attempts = [attempt for step in bench.store.steps(operation) for attempt in step.attempts]
    assert refused[0]["attempt"] in {attempt.id for attempt in attempts}
    assert refused[0]["task"] == "lockstep.create_group"
    assert refused[0]["task_id"] in {
        line.get("task_id") for line in lines(written) if "received" in str(line)
    }

    kept = b"".join(path.read_bytes() for path in bench.redis.directory.rglob("*") if path.is_file())
    assert operation.encode() in kept
    eventually(lambda: operation.encode() in remembered(tmp_path), "Flower has saved what it heard")
    shown = told(f"{flower}/api/tasks") + told(f"{flower}/api/workers?refresh=1")
    for where, text in {
        "the worker's log": written,
        "beat's log": beat.output(),
        "Redis's files": kept.decode("utf-8", "replace"),
        "Flower": shown,
        "what Flower keeps": remembered(tmp_path).decode("utf-8", "replace"),
    }.items():
        assert CANARY not in text, where


def test_on_a_terminal_a_line_names_what_it_is_about(bench: Bench, tmp_path: Path) -> None:
    worker = bench.worker(env={"LOCKSTEP_HEARTBEAT_DIR": str(tmp_path / "signs")})
    bench.admin.add_faults({"kind": "refuse", "methods": ["POST"], "status": 401}, node="node3")
    operation = bench.start(Action.CREATE)
    eventually(lambda: re.search(r"create: 401.*\n", worker.output()), "node3 has refused")
    (line,) = [line for line in worker.output().splitlines() if "create: 401" in line]
    assert f"create: 401 [operation={operation} group={bench.group} host=node3 attempt=" in line
    assert line.endswith("]")


def remembered(folder: Path) -> bytes:
    found = []
    for path in folder.glob("flower*"):
        with suppress(FileNotFoundError):  # Flower keeps its tasks in a file that it replaces
            found.append(path.read_bytes())
    return b"".join(found)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=PATIENCE).ok
    except requests.ConnectionError:
        return False


def told(url: str) -> str:
    return requests.get(url, timeout=PATIENCE).text
