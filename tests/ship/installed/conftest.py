from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lockstep.producer.demo.play import SETTINGS
from lockstep.worker.settings import PREFIX
from tests.ship.installed.environment import environment
from tests.waits import eventually

NOTHING: Mapping[str, str] = {}
STRANGERS = ("worker.py", "producer.py", "celery.py", "mock_api.py", "tests/__init__.py")
"""Files that people have, and that must not be taken for parts of ours."""


class Installed:
    """Lockstep's wheel in an environment of its own, used from a folder of somebody else's."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        bare = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "PYTHON"))}
        self.env = {**bare, "PATH": f"{python.parent}:{bare['PATH']}"}

    def run(self, *command: str, code: int = 0, env: Mapping[str, str] = NOTHING) -> str:
        """Run a command in the folder; return what it printed to both outputs. It must end with `code`."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


def folder_of_a_stranger(home: Path) -> Path:
    for name in STRANGERS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("raise SystemExit(f'a stranger was imported: {__file__}')\n")
    return home


@pytest.fixture(scope="session")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The client and the command alone."""
    home = tmp_path_factory.mktemp("client")
    return Installed(environment(home / "env", wheel, ""), folder_of_a_stranger(home / "here"))


@pytest.fixture(scope="session")
def application(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """An application's environment, with Django and FastAPI, and a stack of the wheel's that runs in it."""
    home = tmp_path_factory.mktemp("application")
    made = Installed(
        environment(home / "env", wheel, "demo,secrets", "Django"), folder_of_a_stranger(home / "here")
    )
    command = [str(made.python), "-P", "-m", "lockstep.producer.stack", "--no-flower", "--nodes", "3"]
    given = {PREFIX + name.upper(): value for name, value in SETTINGS.items()}
    with (home / "stack.log").open("w+") as log:
        stack = subprocess.Popen(command, cwd=made.folder, env=made.env | given, stdout=log, stderr=log)
        try:
            published = home / "env/var/lockstep/stack.json"
            eventually(lambda: published.exists() or stack.poll() is not None, "the stack is up", 100)
            assert stack.poll() is None, (home / "stack.log").read_text()
            found: dict[str, Any] = json.loads(published.read_text())
            made.env |= {
                PREFIX + name.upper(): found["settings"][name] for name in ("redis_url", "inventory")
            }
            made.env["ADMIN_URL"] = found["admin_url"]
            yield made
        finally:
            stack.send_signal(signal.SIGINT)
            stack.wait(60)
