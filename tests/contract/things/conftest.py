"""Three nodes of a kind of one's own, with the worker, beat and the command in this process."""

from __future__ import annotations

import io
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from typing import Any

import pytest

from lockstep.producer.cli import main
from lockstep.worker.celery import TaskName, make_app
from lockstep.worker.settings import Settings
from tests.chaos.journal import commands
from tests.contract.test_worker import working
from tests.integration.kinds.node import Rig
from tests.model.trace import replay
from tests.waits import PATIENCE, eventually


class OneProcess(Rig):
    """The same rig, but its worker and beat are threads of this process, and so is the command."""

    def new_worker(self) -> Any:
        heart = str(self.directory / "heart")
        self._app = make_app(Settings(**self.values, heartbeat_dir=heart))
        self.stack.callback(self._app.close)
        self.stack.enter_context(working(self._app))

    def _child(self, *arguments: str) -> Any:
        over = threading.Event()

        def beat() -> None:
            while not over.wait(0.5):
                with suppress(Exception):  # as beat goes on when Redis was slow once
                    self._app.tasks[TaskName.SWEEP].apply_async(ignore_result=True)

        thread = threading.Thread(target=beat)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(over.set)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.values.items():
                patch.setenv(f"LOCKSTEP_{name.upper()}", value)
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("kinds")
    with ExitStack() as stack:
        rig = OneProcess(stack, folder)
        yield rig
        # Whichever tests were run here, and however it ends: the journal has a thing.
        rig.client.create("notice/last", text="last").wait(PATIENCE)
        trace = replay(commands(folder / "redis"))
    assert trace.wrong == []
    assert trace.things


@pytest.fixture
def rig(made: Rig) -> Rig:
    eventually(lambda: all(each.ended for each in made.client.operations(100)), "nothing is at work any more")
    for node in made.nodes:
        node.holds.clear()
        node.asked.clear()
        node.refuses, node.usurper = False, None
    return made
