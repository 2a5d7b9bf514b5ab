"""docs/kinds.md, followed to the letter; and what is made from the grammar of kind files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import requests
import yaml

from lockstep.producer.stack.ports import free_port
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.kinds import SHIPPED
from lockstep.worker.kinds.file import schema
from tests.unit.kinds.schema import PAGE, PAGES, SHIPPED_PAGE, kind_pages, page
from tests.waits import PATIENCE, eventually

TEXT = PAGE.read_text("utf-8")
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def serve(folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "boards.py", str(port)], cwd=folder)
    eventually(lambda: process.poll() is not None or answers(port), "the API serves")
    return port, process


@pytest.fixture
def apis(tmp_path: Path) -> Iterator[list[int]]:
    """Where two servers of the page's API listen."""
    (tmp_path / "boards.py").write_text(blocks("python")[0])
    served = [serve(tmp_path) for _ in "12"]
    while any(process.poll() is not None for _, process in served):  # somebody else took the port
        served = [each if each[1].poll() is None else serve(tmp_path) for each in served]
    try:
        yield [port for port, _ in served]
    finally:
        for _, process in served:
            process.kill()
            process.wait()


def test_your_own_api_in_fifteen_minutes(apis: list[int], tmp_path: Path) -> None:
    api = apis[0]
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "board.yaml").write_text(blocks("yaml")[1])
    inside = {"PATH": f"{BIN}:{os.environ['PATH']}", "LOCKSTEP_KINDS": "kinds", "HOME": str(tmp_path)}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        line = command.strip().replace("8077", str(api))
        return subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env=inside,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    first, walk = re.findall(r"^    (lockstep kinds check .*)$", TEXT, re.MULTILINE)
    checked = run(first)
    assert (checked.returncode, checked.stdout.endswith(": the file keeps every rule\n")) == (0, True)
    eventually(lambda: "create again" in (said := run(walk)).stdout and said, "the API serves", latest=0.2)
    walked = run(walk)
    assert (walked.returncode, walked.stdout) == (0, blocks("text")[0])
    listed = run("lockstep kinds --json")
    assert "board" in [each["kind"] for each in json.loads(listed.stdout)["kinds"]]
    run("lockstep kinds schema > kind.schema.json")
    assert json.loads((tmp_path / "kind.schema.json").read_text()) == schema()
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis") as redis:
        script = blocks("sh")[0].replace("redis://127.0.0.1:6390/0", redis.url)
        for written, port in zip(("8077", "8078"), apis, strict=True):
            script = script.replace(written, str(port))
        process = subprocess.Popen(
            ["bash", "-e"],
            cwd=tmp_path,
            env=inside,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(script)
            process.stdin.close()
            said = [process.stdout.readline() for _ in "12"]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    ended = [
        re.sub(r"operation \w+", "operation", line) for line in (*said, *blocks("text")[1].splitlines(True))
    ]
    assert ended[:2] == ended[2:]
    for port in apis:
        shown = requests.get(f"http://127.0.0.1:{port}/boards?name=roadmap", timeout=PATIENCE).json()[
            "boards"
        ]
        assert [(each["colour"], each["members"]) for each in shown] == [("red", ["ann"])]


def test_the_tables_are_those_of_the_grammar() -> None:
    """`python -m tests.unit.kinds.schema` makes them anew."""
    assert page() == TEXT


def test_the_schema_takes_every_kind_and_no_mistake() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    taken = jsonschema.Draft202012Validator(schema())
    for text in [*blocks("yaml")[:2], *(path.read_text() for path in SHIPPED.glob("*.yaml"))]:
        assert list(taken.iter_errors(yaml.safe_load(text))) == []
    for mistake in ({"kind": "x"}, {**yaml.safe_load(blocks("yaml")[0]), "updates": "PUT /x"}):
        assert list(taken.iter_errors(mistake))


def test_every_shipped_kind_has_its_page() -> None:
    """With its id, its fields, what an undo loses, on which version it was measured, and its walk."""
    pages = kind_pages()
    assert sorted(PAGES.iterdir()) == sorted(pages)
    for path, text in pages.items():
        assert path.read_text("utf-8") == text
        row = rf"^\| \[{path.stem}\]\(kinds/{path.stem}\.md\) \| (.*?) \|"
        (server,) = re.findall(row, SHIPPED_PAGE.read_text("utf-8"), re.MULTILINE)
        measured = "**Not measured.**" if "not measured" in server else f"**Measured on {server}.**"
        assert path.stem == "group" or f" {measured}\n" in text
        assert "```text\nok       look, absent" in text
