"""The pages to learn from, followed to the letter: every file, every command, and what each shows."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep.producer.stack.ports import free_port
from tests.e2e.pages import Block, Session, blocks

ROOT = Path(__file__).parents[2]
PORTS = ("8101", "8102", "8103", "6390")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A reader with a home of their own, in which Lockstep is installed."""
    (tmp_path / "lockstep" / ".venv").mkdir(parents=True)
    (tmp_path / "lockstep" / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOCKSTEP_", "OTEL_"))}
    environment = {**kept, "HOME": str(tmp_path), "COLUMNS": "140", "PYTHONUNBUFFERED": "1"}
    with Session(tmp_path, environment, tmp_path / "two-servers") as session:
        yield session


def shown(name: str) -> list[Block]:
    """Return the blocks of a page, with ports that are free here."""
    page = (ROOT / "docs" / name).read_text("utf-8")
    for port in PORTS:
        page = re.sub(rf"\b{port}\b", str(free_port()), page)
    return blocks(page)


@pytest.mark.timeout(300)  # a dozen commands and a worker start, on a machine that may be busy
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server here")
def test_the_tutorial_ends_as_it_says(session: Session) -> None:
    for block in shown("tutorial.md"):
        session.follow(block)


def test_the_probe_finds_what_the_page_about_nodes_says(session: Session) -> None:
    session.here.mkdir()
    (server,) = (block for block in shown("tutorial.md") if block.title == "server.py")
    session.follow(server)
    for block in shown("node.md"):
        session.kept.setdefault(block.title, ["cd ~/two-servers && source ~/lockstep/.venv/bin/activate"])
        session.follow(block)
