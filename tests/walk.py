"""`python -m tests.walk`: which files a reader passes, in order, on the two main roads through the code.

(a) an operation of two hosts, from `ClusterClient.create_group` to its end: all files that are entered by the
    second operation of a process, for the first also makes what lasts;
(b) a host's answer to the record and the decision: all files that the thread of a step enters from the reply
    to its write until it knows what the record made of it, for the write that was recorded last.

One process does it all, under `sys.setprofile`: a client, and a worker with the transport and the pool of
threads that `celery -A lockstep worker` has by default. docs/design.md has the figures of today.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

from celery import Task
from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun

import lockstep.worker.tasks  # noqa: F401  # registers them
from lockstep import ClusterClient, State, load_settings
from lockstep.producer.stack import MockCluster, RedisServer
from lockstep.worker.celery import OPERATIONS, ROLLBACK, TaskName, broker, make_app
from tests.waits import eventually

ROOT = Path(__file__).parents[1]
OURS = tuple(f"{ROOT}/{link}{folder}/" for link in ("", "lockstep/") for folder in ("worker", "producer"))
HOSTS = 2
THREADS = "lockstep.worker.tasks.received:Threads"
ANSWERED = ("worker/hosts/curl.py", "carry")
"""The function that returns a host's reply, or why there is none."""
RECORDED = ("worker/record/redis.py", "finish")
"""The function that returns what the record made of it: its answer, and the decision where that was due."""


@dataclass
class Walk:
    """The files that were entered, in the order in which they were met first."""

    entered: list[tuple[int, str]] = field(default_factory=list)
    """Thread and file of every call."""
    replied: dict[int, int] = field(default_factory=dict)
    """By thread: from where in `entered` on its last reply is handled."""
    answers: list[tuple[int, int, int]] = field(default_factory=list)
    """The thread of each answer to a write, and from where to where in `entered` it went into the record."""
    on: bool = False

    def look(self, frame: FrameType, event: str, argument: object) -> None:
        """What `sys.setprofile` calls."""
        name = frame.f_code.co_filename
        if not self.on or not name.startswith(OURS):
            return
        file = name.removeprefix(f"{ROOT}/").removeprefix("lockstep/")
        thread = threading.get_ident()
        if event == "call":
            self.entered.append((thread, file))
        elif event == "return" and (file, frame.f_code.co_name) == ANSWERED:
            self.replied[thread] = len(self.entered)
        elif event == "return" and (file, frame.f_code.co_name) == RECORDED:
            self.answers.append((thread, self.replied[thread], len(self.entered)))

    def files(self) -> list[str]:
        """(a): all files, in the order in which they were first entered."""
        return list(dict.fromkeys(file for _, file in self.entered))

    def of_the_last_answer(self) -> list[str]:
        """(b): the files that the last answer to a write passed on its way into the record."""
        thread, start, end = self.answers[-1]
        passed = (file for who, file in self.entered[start:end] if who == thread)
        return list(dict.fromkeys([ANSWERED[0], *passed]))


@contextmanager
def tracing(walk: Walk) -> Iterator[None]:
    """Look at every call of this thread and of those that start meanwhile."""
    threading.setprofile(walk.look)
    sys.setprofile(walk.look)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def walk() -> Walk:
    """Create a group on two hosts of a mock cluster, and return the way that it took."""
    with (
        tempfile.TemporaryDirectory(prefix="lockstep-walk-") as folder,
        RedisServer(Path(folder)) as server,
        MockCluster(Path(folder), HOSTS) as cluster,
    ):
        settings = load_settings(redis_url=server.url, hosts=",".join(cluster.nodes.values()))
        assert broker.install("own")
        app = make_app(settings)
        found, concluded = Walk(), threading.Event()

        @task_postrun.connect(weak=False)
        def ran(sender: Task[..., str], **_: object) -> None:
            if sender.name == TaskName.CONCLUDE:
                concluded.set()

        queues = [OPERATIONS, ROLLBACK]
        with (
            ClusterClient(settings) as client,
            tracing(found),
            start_worker(app, pool=THREADS, concurrency=4, perform_ping_check=False, queues=queues) as worker,
        ):
            # Makes what lasts: connections, settings, scripts; its callback, after its end, does so too.
            client.create_group("first").wait(timeout=60)
            assert concluded.wait(60)
            told = cast(Any, worker).consumer.event_dispatcher
            eventually(lambda: told.producer.channel._pool, "its events are sent, a moment after it")
            found.on = True
            result = client.create_group("walked").wait(timeout=60)
            eventually(lambda: len(found.answers) == HOSTS, "each step knows what the record made of it")
            found.on = False
        assert result.state is State.COMMITTED, result
        return found


def main() -> None:
    """Print both."""
    found = walk()
    for title, files in (("(a) an operation", found.files()), ("(b) an answer", found.of_the_last_answer())):
        print(f"{title}: {len(files)} files")
        print(*(f"  {file}" for file in files), sep="\n")


if __name__ == "__main__":
    main()
