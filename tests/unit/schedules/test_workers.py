"""What the threads of a worker share: its heartbeat, its messages, its events, its runtime, its slices."""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery.bootsteps import RUN  # type: ignore[attr-defined]
from celery.events import dispatcher
from kombu.transport import redis

from lockstep.worker.celery.broker import links, transport
from lockstep.worker.monitoring import heartbeat
from lockstep.worker.monitoring.probe import HealthFiles
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.operation.transitions import Order
from lockstep.worker.process import greenlets
from lockstep.worker.tasks import received, runtime
from tests.unit.schedules import Check, Schedule, explore
from tests.unit.schedules.primitives import Primitives

NODE1, NODE2, NODE3 = (HostName(f"node{n}") for n in (1, 2, 3))
TOLD = ["task-received", "task-started", "task-retried"]


def threading_of(module: Any) -> Any:
    """Return what a module takes for `threading`, which is the schedule's while it is explored."""
    return module.threading


def test_a_stopped_worker_leaves_no_heartbeat_behind(tmp_path: Path) -> None:
    signs = HealthFiles(str(tmp_path))

    def scenario(schedule: Schedule) -> Check:
        heart = heartbeat.Heartbeat(signs)

        def live_and_end() -> None:
            heart.start()
            schedule.point()
            heart.end()

        schedule.thread(live_and_end)

        def check() -> None:
            assert list(tmp_path.iterdir()) == []

        return check

    explore(scenario, [heartbeat])


class Redis:
    """Keeps which messages were acknowledged."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.acknowledged: list[str] = []

    def pipeline(self, transaction: bool) -> contextlib.nullcontext[SimpleNamespace]:
        removed: list[str] = []

        def execute() -> None:
            self.schedule.point()
            self.acknowledged += removed

        def hdel(key: str, *tags: str) -> None:
            removed.extend(tags)

        return contextlib.nullcontext(
            SimpleNamespace(hdel=hdel, zrem=lambda key, *tags: None, execute=execute)
        )


def test_every_acknowledged_message_is_so_in_redis_even_if_the_connection_is_closed_meanwhile() -> None:
    def scenario(schedule: Schedule) -> Check:
        redis = Redis(schedule)
        channel: Any = transport.BatchChannel.__new__(transport.BatchChannel)
        vars(channel).update(
            closed=False,
            connection=SimpleNamespace(cycle=SimpleNamespace(turning=True)),
            conn_or_acquire=lambda: contextlib.nullcontext(redis),
            connection_errors=(OSError,),
            ResponseError=OSError,
            _in_poll=False,
        )
        qos: Any = transport.QoS.__new__(transport.QoS)
        vars(qos).update(channel=channel, _quick_ack=lambda tag: None, unacked_key="u", unacked_index_key="i")
        vars(qos).update(_noted=set(), _acknowledged=deque())
        channel._qos = qos
        for tag in ("a", "b"):
            schedule.thread(qos.ack, tag)
        schedule.thread(lambda: (channel.send_acknowledged(), channel.close()))

        def check() -> None:
            assert sorted(redis.acknowledged) == ["a", "b"]

        return check

    def close(channel: Any) -> None:
        channel.closed = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.Channel, "close", close)
        explore(scenario, [transport])


def test_every_event_is_sent_soon() -> None:
    def scenario(schedule: Schedule) -> Check:
        buffered: list[float] = []
        sent: list[float] = []
        timers: list[tuple[float, Callable[[], None]]] = []
        soon: list[Callable[[], None]] = []
        made: Any = received.Consumer.__new__(received.Consumer)

        def flush() -> None:
            sent.extend(buffered)
            buffered.clear()

        made._flush_events = flush
        made.blueprint = SimpleNamespace(state=RUN)
        made.hub = SimpleNamespace(
            call_soon=soon.append, call_later=lambda after, do: timers.append((schedule.now + after, do))
        )

        def work() -> None:
            for _ in range(2):
                buffered.append(schedule.now)
                made.on_send_event_buffered()
                schedule.block(lambda: False, 0.04)

        def loop() -> None:
            ends = schedule.now + 1.0
            while schedule.now < ends:
                while soon:
                    soon.pop(0)()
                due = [timer for timer in timers if timer[0] <= schedule.now]
                for timer in due:
                    timers.remove(timer)
                    timer[1]()
                schedule.block(lambda: bool(soon), 0.01)

        schedule.thread(work)
        schedule.thread(work)
        schedule.thread(loop)

        def check() -> None:
            assert len(sent) == 4
            assert not buffered

        return check

    explore(scenario, [received])


def test_a_retry_is_told_with_all_before_it_by_when_it_was_sent_and_nothing_twice() -> None:
    def scenario(schedule: Schedule) -> Check:
        told: list[tuple[str, str]] = []

        def publish(events: list[dict[str, str]], **_: object) -> None:
            schedule.point()
            told.extend((each["uuid"], each["type"]) for each in events)
            schedule.point()

        made: Any = links.Dispatcher.__new__(links.Dispatcher)
        vars(made).update(
            {"enabled": True, "groups": set(), "buffer_group": ("task",), "buffer_limit": 24}
            | {"hostname": "host", "pid": 1, "clock": SimpleNamespace(forward=lambda: 1), "headers": {}}
            | {"exchange": SimpleNamespace(name=""), "serializer": "json", "delivery_mode": 1}
            | {"producer": SimpleNamespace(publish=publish), "_closed": False, "on_send_buffered": None}
            | {"_group_buffer": defaultdict(list), "mutex": Primitives(schedule).threading.Lock()}
        )

        def work(task: str) -> None:
            for what in TOLD:
                made.send(what, uuid=task)
            assert [what for of, what in told if of == task] == TOLD

        schedule.thread(work, "a")
        schedule.thread(work, "b")
        schedule.thread(made.flush, False)

        def check() -> None:
            assert len(told) == 2 * len(TOLD)

        return check

    explore(scenario, [links, dispatcher])


def test_all_threads_of_a_process_have_one_runtime() -> None:
    def scenario(schedule: Schedule) -> Check:
        def build(settings: object) -> object:
            schedule.point()
            return object()

        app = Mock(build_runtime=build)
        runtimes = runtime.Runtimes()
        found: list[object] = []
        for _ in range(2):
            schedule.thread(lambda: found.append(runtimes.of(app)))

        def check() -> None:
            assert len(set(map(id, found))) == 1

        return check

    explore(scenario, [runtime])


@pytest.mark.parametrize("away", [False, True])
def test_tasks_that_come_together_read_their_order_once(away: bool) -> None:
    def scenario(schedule: Schedule) -> Check:
        reads: list[OperationId] = []
        came: list[Order | str | None] = []

        def read(operation: OperationId) -> Order | None:
            reads.append(operation)
            schedule.block(lambda: False, 0.1)  # meanwhile all of them have come
            if away:
                raise StoreUnavailable("away")
            return Order(GroupId("g"), Action.CREATE, frozenset({NODE1}))

        orders = runtime.Orders(read)

        def task() -> None:
            try:
                came.append(orders.of(OperationId("o"), lambda _: True))
            except StoreUnavailable as error:
                came.append(str(error))

        for _ in range(3):
            schedule.thread(task)

        def check() -> None:
            assert (len(came), len(set(came)), len(reads)) == (3, 1, 1)

        return check

    explore(scenario, [runtime])


@pytest.mark.parametrize("interrupts", [False, True])
def test_no_step_is_begun_once_its_task_is_over_and_none_is_left_behind(interrupts: bool) -> None:
    def scenario(schedule: Schedule) -> Check:
        places = threading_of(greenlets).Semaphore(2)
        asked: list[greenlets.Handover[str]] = []
        over: list[bool] = []
        begun: list[HostName] = []
        done: list[HostName] = []

        def step(host: HostName) -> str:
            assert not over, "begun after its task was over"
            begun.append(host)
            try:
                for _ in range(2):
                    asked.append(answer := greenlets.Handover[str]())
                    assert answer.wait() == "said"
                done.append(host)
                return "done"
            finally:
                begun.remove(host)

        def task() -> None:
            try:
                greenlets.side_by_side([NODE1, NODE2, NODE3], step, lambda: True, places)
            finally:
                over.append(True)

        def carry() -> None:
            while schedule.block(lambda: bool(asked or over)) and not over:
                asked.pop(0).bring("said")

        schedule.thread(task, hears_signals=interrupts)
        schedule.thread(carry)

        def check() -> None:
            assert begun == [], "left behind"
            assert interrupts or sorted(done) == [NODE1, NODE2, NODE3]
            assert places.acquire(blocking=False)

        return check

    explore(scenario, [greenlets], departures=1 if interrupts else 2)
