"""Who sends messages and takes them, and what Redis keeps of those."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import redis
from kombu import Connection, Consumer, Exchange, Queue

PREFIX = "lockstep:celery:"
QUEUE = Queue("operations", Exchange("operations"), routing_key="operations")
Open = Callable[..., Connection]


class Reader:
    """Consumes with a prefetch count; keeps what was delivered."""

    def __init__(self, connection: Connection, prefetch: int, channel: Any = None) -> None:
        self.connection = connection
        self.channel: Any = channel or connection.channel()
        self.messages: list[Any] = []
        self.consumer = Consumer(
            self.channel, [QUEUE], on_message=self.messages.append, prefetch_count=prefetch
        )
        self.consumer.consume()

    def read(self) -> list[int]:
        """Wait until something is delivered; return the numbers of all messages so far."""
        self.connection.drain_events(timeout=10)
        return self.numbers

    def read_on(self) -> None:
        """Read for as long as something comes."""
        while True:
            self.read()

    @property
    def numbers(self) -> list[int]:
        return [json.loads(message.body)["n"] for message in self.messages]


def send(connection: Connection, count: int) -> None:
    with connection.Producer() as producer:
        for n in range(count):
            producer.publish(
                {"n": n}, exchange="", routing_key=QUEUE.name, declare=[QUEUE], serializer="json"
            )


def waiting(kept: redis.Redis) -> list[int]:
    """The numbers of the messages in the queue, those to be taken next first."""
    from base64 import b64decode

    found: Any = kept.lrange(f"{PREFIX}operations", 0, -1)
    return [json.loads(b64decode(json.loads(text)["body"]))["n"] for text in reversed(found)]


def noted(kept: redis.Redis) -> dict[str, Any]:
    """Unacknowledged messages by tag, and whether each has its time."""
    entries: Any = kept.hgetall(f"{PREFIX}unacked")
    times: Any = kept.zrange(f"{PREFIX}unacked_index", 0, -1)
    assert sorted(times) == sorted(entries)
    return {tag: json.loads(text) for tag, text in entries.items()}
