"""What threads of a client and of a stack share: waits, runs, the application that publishes, children."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis.client

from lockstep.producer.client import acceptance
from lockstep.producer.operators import batch, hosts
from lockstep.producer.stack import child as stack_child
from lockstep.worker.operation.model import Action, GroupId, OperationId, State
from lockstep.worker.record import events, link
from lockstep.worker.record.keys import Keys
from lockstep.worker.settings import Settings
from tests.unit.schedules import Check, Schedule, explore
from tests.unit.schedules.primitives import Primitives


class Wire:
    """A connection over which nothing comes but what redis-py needs to hear."""

    outdated = False
    is_connected = True
    health_check_interval = 0
    encoder = None
    host, port, db = "localhost", 6379, 0

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._replies: list[list[object]] = []
        self.retry = SimpleNamespace(call_with_retry=lambda do, fail, **_: do())

    def send_command(self, name: str, *channels: object, **_: object) -> None:
        self._replies.append([name.lower().encode(), b"c", 1])

    def can_read(self, timeout: float = 0, **_: object) -> bool:
        return self._schedule.block(lambda: bool(self._replies), timeout)

    def read_response(self, **_: object) -> list[object]:
        return self._replies.pop(0)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **_: None


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # some are interrupted destructors
def test_an_interrupt_ends_a_wait_for_events_wherever_it_comes() -> None:
    encoder = SimpleNamespace(
        decode_responses=True,
        encode=lambda value: value if isinstance(value, bytes) else str(value).encode(),
        decode=lambda value, force=False: value.decode() if isinstance(value, bytes) else value,
    )

    def scenario(schedule: Schedule) -> None:
        wire = Wire(schedule)
        pool: Any = SimpleNamespace(
            get_encoder=lambda: encoder,
            get_connection=lambda *_: wire,
            release=lambda _: None,
            connection_kwargs={},
        )

        of: Any = SimpleNamespace(
            subscriber=SimpleNamespace(connection_pool=pool), keys=Keys("c:"), followed=set()
        )

        def wait() -> None:
            with events.Events(of, OperationId("o")) as told:
                told.subscribe()
                told.wait(0.1, events.COALESCE)

        schedule.thread(wait, hears_signals=True)

    # Whoever hangs does so for good, if only in a destructor: then the schedule never ends.
    explore(scenario, [events, redis.client], departures=1)


def test_a_run_that_is_closed_starts_nothing_more() -> None:
    """As after Ctrl-C: a group that another operation held was taken once that ended, seconds after it."""
    wishes = [batch.Wish(Action.CREATE, GroupId(f"team-{number}")) for number in range(6)]

    def scenario(schedule: Schedule) -> Check:
        closed: list[bool] = []
        late: list[GroupId] = []

        class Operation:
            def wait(self, timeout: float) -> Any:
                schedule.block(lambda: False, timeout)
                return SimpleNamespace(state=State.COMMITTED, reason=None)

        def change(
            what: str, group: GroupId, *given: Any, stopped: Callable[[], bool], **more: Any
        ) -> Operation:
            for _ in range(3):  # the group is busy: it is asked for again and again
                if stopped():
                    raise acceptance.RequestWithdrawn
                schedule.point()
                schedule.block(lambda: False, 1.0)
            if stopped():
                raise acceptance.RequestWithdrawn
            late.extend([group] if closed else [])
            return Operation()

        def run() -> None:
            began = schedule.now
            client = cast(Any, SimpleNamespace(change=change, serving=lambda *_, **__: []))
            coming = batch.apply(client, "run", wishes, [], at_once=2)
            next(coming)
            coming.close()
            closed.append(True)
            assert schedule.now - began < 10
            schedule.block(lambda: False, 5.0)  # what was not stopped would start in this time

        schedule.thread(run)

        def check() -> None:
            assert late == []

        return check

    explore(scenario, [batch, hosts])


def test_threads_that_come_at_the_same_time_share_the_application_that_publishes() -> None:
    def scenario(schedule: Schedule) -> Check:
        made: list[object] = []
        found: list[object] = []

        def make(*_: object) -> Any:
            schedule.point()
            made.append(SimpleNamespace(conf=SimpleNamespace(result_backend_transport_options={})))
            return made[-1]

        patch.setattr("lockstep.worker.celery.make_app", make)
        get = acceptance.Broker(cast(Any, None))._celery
        for _ in range(2):
            schedule.thread(lambda: found.append(get()))

        def check() -> None:
            assert (len(found), len(made)) == (2, 1)
            assert found[0] is found[1]

        return check

    with pytest.MonkeyPatch.context() as patch:
        explore(scenario, [acceptance])


class Readers:
    """An executor that reads at once, and takes nothing once it was shut down."""

    def __init__(self, *_: object, **__: object) -> None:
        self._over = False

    def submit(self, read: Callable[[], object]) -> Future[object]:
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        found: Future[object] = Future()
        found.set_result(read())
        return found

    def shutdown(self, wait: bool = True) -> None:
        self._over = True


def test_a_client_that_another_thread_closes_still_reads_for_asyncio() -> None:
    def scenario(schedule: Schedule) -> Check:
        shared, read = link.Link(Settings()), []

        async def follow() -> None:
            for number in range(2):
                read.append(await shared.off_loop(lambda: number))  # noqa: B023 - read at once

        schedule.thread(lambda: asyncio.run(follow()))
        schedule.thread(shared.close)

        def check() -> None:
            assert read == [0, 1]

        return check

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("concurrent.futures.ThreadPoolExecutor", Readers)
        explore(scenario, [link])


def test_nothing_is_started_once_a_supervisor_was_stopped() -> None:
    def scenario(schedule: Schedule) -> Check:
        stopped: list[bool] = []
        launched: list[bool] = []
        late: list[bool] = []
        child: Any = SimpleNamespace(name="worker", wanted=True, running=False, fate="ended")

        def start() -> None:
            assert not child.running, "two start it at the same time"
            child.running = True
            schedule.point()
            child.running = False

        def launch() -> None:
            launched.append(True)
            start()
            late.extend(stopped)

        child.launch = launch
        lock = Primitives(schedule).threading.RLock()
        watching = stack_child.Supervisor([child], lock, lambda _: None)

        def stop() -> None:
            watching.start()
            schedule.block(lambda: bool(launched), 1.0)
            watching.stop()
            stopped.append(True)

        def restart() -> None:
            schedule.block(lambda: bool(launched), 1.0)
            with lock:
                start()

        schedule.thread(stop)
        schedule.thread(restart)

        def check() -> None:
            assert late == []

        return check

    explore(scenario, [stack_child])
