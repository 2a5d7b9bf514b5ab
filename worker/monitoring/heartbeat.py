"""The files that probes read, kept in every worker and in beat, and the watch over one that stands still."""

from __future__ import annotations

import atexit
import gc
import logging
import math
import os
import stat
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from lockstep.worker.monitoring.metrics import work
from lockstep.worker.monitoring.probe import EVERY, HealthFiles
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process import greenlets

TELL = 10.0
"""Seconds for telling it: what cannot be told by then is not."""
EXIT = 70
"""The exit status of a process that ends itself; EX_SOFTWARE of sysexits.h."""
log = logging.getLogger(__name__)


def frames() -> dict[int, FrameType]:
    """Return where every thread is, by its ident."""
    gc.disable()  # CPython 3.11 may stand still for ever if it collects garbage in the midst of it
    try:
        return sys._current_frames()
    finally:
        gc.enable()


def stacks() -> str:
    """Return what every thread and every step is doing; those that do the same are told of together."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    same: dict[str, list[str]] = defaultdict(list)
    for ident, frame in frames().items():
        same["".join(traceback.format_stack(frame))].append(names.get(ident, str(ident)))
    for waiting in greenlets.stacks():
        same[waiting].append("a step")
    told = sorted(same.items(), key=lambda stack: -len(stack[1]))
    return "\n".join(f"{len(threads)} × {', '.join(sorted(threads))}:\n{stack}" for stack, threads in told)


def give_up(trouble: str, *tell: Callable[[str], None]) -> None:
    """Write every stack to the log, tell those who want to know, and end this process."""

    def tell_all() -> None:
        log.critical("this process stands still, and ends: %s; its threads:\n%s", trouble, stacks())
        for each in tell:
            try:
                each(trouble)
            except Exception as error:  # noqa: BLE001 - it ends in any case
                log.warning("that could not be told: %s", error)

    # What stands still may be the log, or Redis.
    telling = threading.Thread(target=tell_all, name="stalls", daemon=True)
    telling.start()
    telling.join(TELL)
    os._exit(EXIT)


def watch_child(quiet: float, *tell: Callable[[str], None]) -> None:
    """Watch a child of a prefork worker, which has no heart; its parent starts another in its place."""

    def run() -> None:
        while True:
            time.sleep(EVERY)
            work.look()
            if (trouble := work.trouble(quiet)) is not None:
                give_up(trouble, *tell)

    threading.Thread(target=run, name="stalls", daemon=True).start()


STUCK = 60.0
"""Seconds for which the loop that takes messages may stand still, unless Redis is waited for: a frozen one
takes 5 s for each call, and the loop may have many to make, or wait for a thread that makes them."""


def asks_redis() -> bool:
    """Tell whether some thread is in a call to Redis; each has its timeout."""
    called = (frame for top in frames().values() for frame, _ in traceback.walk_stack(top))
    return any(frame.f_globals.get("__name__") == "redis.connection" for frame in called)


def not_own(directory: str) -> str | None:
    """Say why a directory is not this user's alone; None when it is."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode):
        return "is a link" if stat.S_ISLNK(found.st_mode) else "is no directory"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"may be written to by others (mode {stat.S_IMODE(found.st_mode):o})"
    return None


class Heartbeat:
    """Beats in a thread of its own, unless the worker stands still: then it gives up.

    The loop's own timer would not do: without Redis there is no loop, only the wait for a connection.
    """

    def __init__(
        self,
        signs: HealthFiles,
        quiet: float = math.inf,
        give_up: Callable[..., None] = give_up,
        tell: Callable[[str], None] | None = None,
        loop: str = "the loop that takes messages",
        stuck: float = STUCK,
    ) -> None:
        """Prepare the directory; signs that an earlier worker left are removed.

        No work that goes on may get no further for `quiet` seconds, and no end may take longer; `loop`
        has to come round within `stuck`. `give_up` is told why the worker stands still, and whom to tell:
        `tell` too, which hears it once more when the next worker is ready, for it may not have been told.
        """
        self._signs = signs
        self._quiet = quiet
        self._give_up, self._tell = give_up, [tell] if tell else []
        self._loop = loop
        self._stuck = stuck
        self._looped: float | None = None
        self._full: float | None = None
        """Since when it holds as many messages as it may, and works at none."""
        self._ending: float | None = None
        self._stopped = threading.Event()
        self._beats = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        Path(signs.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        if (wrong := not_own(signs.directory)) is not None:
            raise InvalidInput(
                f"the heartbeat directory {signs.directory} {wrong}: whoever made it could show a "
                "dead worker as alive; remove it, or name another one in LOCKSTEP_HEARTBEAT_DIR"
            )
        self.before = signs.left()
        """Why the worker before this one ended itself."""
        signs.remove()

    def looping(self, full: bool = False) -> None:
        """Note that the loop has come round, and whether it can take no more messages."""
        self._looped = work.now
        if not (full and work.idle):
            self._full = None
        elif self._full is None:
            self._full = work.now

    def not_looping(self) -> None:
        """Note that there is no loop: the worker waits for Redis, starts or stops."""
        self._looped = self._full = None

    def ending(self) -> None:
        """Note that the worker ends, whatever made it: of a pool of processes Celery may wait for ever."""
        self._ending = work.now

    def beat(self) -> bool:
        """Show that the worker lives; return False, and give up, when it stands still."""
        work.look()
        trouble = self._trouble()
        if trouble is None:
            self._signs.beat()
            return True
        self._give_up(trouble, self._signs.beat, *self._tell)
        return False

    def start(self) -> None:
        self._beats.start()

    def ready(self, **_: Any) -> None:
        self._signs.is_ready()
        for tell in self._tell if self.before else ():
            try:
                tell(self.before)
            except Exception as error:  # noqa: BLE001 - it works all the same
                log.warning("why the one before ended itself could not be told: %s", error)

    def stopping(self, **_: Any) -> None:
        """Show that it takes no more; it still beats, for it ends what it does."""
        Path(self._signs.ready).unlink(missing_ok=True)

    def end(self, **_: Any) -> None:
        self._stopped.set()
        if self._beats.is_alive():
            self._beats.join(EVERY)  # a beat under way would bring the file back
        self._signs.remove()

    def _trouble(self) -> str | None:
        looped = self._looped
        if looped is not None and work.now - looped > self._stuck and not asks_redis():
            return f"{self._loop} has not come round for {work.now - looped:.0f} s"
        if self._full is not None and work.now - self._full > self._quiet:
            since = work.now - self._full
            return f"it holds as many messages as it may, and has worked at none of them for {since:.0f} s"
        if self._ending is not None and work.now - self._ending > self._quiet:
            return f"it has not come to its end for {work.now - self._ending:.0f} s"
        return work.trouble(self._quiet)

    def _run(self) -> None:
        while True:
            try:
                self.beat()
            except OSError as error:  # a full disk: the probe will tell, and the next beat may succeed
                log.warning("no heartbeat in %s: %s", self._signs.directory, error.strerror)
            if self._stopped.wait(EVERY):
                return


def install_beat(scheduler: Any, directory: str, stuck: float, tell: Callable[[str], None]) -> Heartbeat:
    """Give beat a heart; it stands still if its schedule gets no further for `stuck` seconds."""
    loop = "the loop that sends the sweep"
    heart = Heartbeat(HealthFiles(directory, "beat"), math.inf, give_up, tell, loop, stuck)

    def come_round() -> None:
        try:
            heart.ready()
        except OSError as error:  # a full disk: the next turn may succeed
            log.warning("beat cannot show that it is ready: %s", error.strerror)
        else:
            scheduler.come_round = heart.looping  # that was to be done once

    scheduler.going, scheduler.come_round = heart.looping, come_round
    atexit.register(heart.end)
    heart.looping()
    heart.start()
    return heart


def install(app: Celery, directory: str, quiet: float, tell: Callable[[str], None]) -> Heartbeat:
    """Give the worker that is about to be built from `app` a heart; `tell` hears why it stands still."""
    heart = Heartbeat(HealthFiles(directory), quiet, give_up, tell)

    class Loop(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer:Tasks",)

        _timer: Any = None

        def start(self, parent: Any) -> None:
            qos = parent.task_consumer.channel.qos
            heart.looping()
            self._timer = parent.timer.call_repeatedly(EVERY, lambda: heart.looping(not qos.can_consume()))

        def stop(self, parent: Any) -> None:
            if self._timer is not None:
                self._timer.cancel()
            heart.not_looping()

    class End(bootsteps.StartStopStep):
        def close(self, parent: Any) -> None:
            heart.ending()

    app.steps["consumer"].add(Loop)
    app.steps["worker"].add(End)
    worker_ready.connect(heart.ready, weak=False)
    worker_shutting_down.connect(heart.stopping, weak=False)
    worker_shutdown.connect(heart.end, weak=False)
    heart.start()
    return heart
