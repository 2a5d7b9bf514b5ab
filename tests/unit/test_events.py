"""The events of a task that is retried leave before another worker can send those of its next try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery.events.state import State
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from lockstep.worker.celery import make_app
from lockstep.worker.settings import Settings

HOST = "http://node1:1"


class Workers:
    """Two workers that gather their events, and what Flower has been sent of one task."""

    def __init__(self, connection: Connection) -> None:
        app = make_app(Settings(hosts=HOST, redis_url="redis://127.0.0.1:1/0"))
        self.first, self.second = (
            app.events.Dispatcher(
                connection,
                hostname=name,
                buffer_group=["task"],
                on_send_buffered=lambda: None,
            )
            for name in ("first", "second")
        )
        self._queue = Queue("flower", self.first.exchange, routing_key="#")(connection.default_channel)
        self._queue.declare()
        self._state: Any = State()

    def shown(self) -> tuple[object, object]:
        """State and tries of the task, as Flower has them by now."""
        while (message := self._queue.get(no_ack=True)) is not None:
            events = message.payload
            for event in events if isinstance(events, list) else [events]:
                self._state.event({**event, "local_received": event["timestamp"]})
        task = self._state.tasks.get("a")
        return (task.state, task.retries) if task else (None, None)

    def heard(self) -> list[str]:
        """The workers that Flower knows of by now."""
        return list(self._state.workers)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Connection("memory://") as connection:
        yield Workers(connection)


def test_a_task_at_its_first_try_is_gathered(workers: Workers) -> None:
    workers.first.send("task-received", uuid="a", retries=0)
    workers.first.send("task-succeeded", uuid="a")
    assert workers.shown() == (None, None)
    workers.first.flush()
    assert workers.shown() == ("SUCCESS", 0)


def test_no_try_is_shown_after_a_later_one_of_another_worker(workers: Workers) -> None:
    workers.first.send("task-received", uuid="a", retries=1)
    workers.second.send("task-received", uuid="a", retries=2)
    workers.second.send("task-succeeded", uuid="a")
    workers.second.flush()
    workers.first.flush()
    assert workers.shown() == ("SUCCESS", 2)


def test_a_retry_is_not_shown_after_the_success_of_another_worker(workers: Workers) -> None:
    workers.first.send("task-received", uuid="a", retries=0)
    workers.first.send("task-retried", uuid="a")
    workers.second.send("task-received", uuid="a", retries=1)
    workers.second.send("task-succeeded", uuid="a")
    workers.second.flush()
    workers.first.flush()
    assert workers.shown() == ("SUCCESS", 1)


def test_a_heartbeat_is_not_tried_again_and_is_sent_later(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery asks for it; meanwhile the loop that takes messages would not come round."""
    asked: list[bool] = []

    def away(*_: Any, **options: Any) -> None:
        asked.append(options["retry"])
        raise OperationalError("Redis is away")

    with monkeypatch.context() as patched:
        patched.setattr(workers.first.producer, "publish", away)
        workers.first.send("worker-heartbeat", retry=True)
    assert asked == [False]
    workers.first.flush()
    workers.shown()
    assert set(workers.heard()) == {"first"}


def test_what_was_not_sent_is_not_tried_again_beside_a_retry(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def away(*about: Any, **_: Any) -> None:
        asked.append(about)
        raise OperationalError("Redis is away")

    monkeypatch.setattr(workers.first.producer, "publish", away)
    workers.first.send("worker-heartbeat")
    workers.first.send("task-retried", uuid="a")
    assert len(asked) == 2, "each once"
