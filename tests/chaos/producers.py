"""Clients in processes of their own, some of which kill themselves: `python -m tests.chaos.producers PORT`.

A line of JSON has the order, the deadline, and `dies`: in which way (`tests.chaos.clients.DYING`), if in any;
one sleeps for `asleep` seconds.
The answer is {"accepted": bool, "existing": bool, "error": str}, or nothing when it died.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socketserver
import sys
import threading
import traceback
from typing import Any

from celery.signals import before_task_publish

from lockstep.producer.client.client import ClusterClient
from lockstep.worker.celery import messages as workflow
from lockstep.worker.operation.errors import LockstepError
from lockstep.worker.operation.transitions import Accepted, Busy, Request
from lockstep.worker.record.redis import RedisStore
from lockstep.worker.settings import load_settings
from tests.chaos.orders import AFTER_ACCEPT, ASLEEP, UNEXPECTED, WHILE_PUBLISHING, Order, ask


def die(*_: object, **__: object) -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_way() -> None:
    """Send messages one by one, and die before the second."""
    workflow.BATCH = 1
    messages = itertools.count(1)

    def count(**_: Any) -> None:
        if next(messages) > 1:
            die()

    before_task_publish.connect(count, weak=False)


def die_after_accept() -> None:
    """Die once Redis has said that the operation is recorded."""
    accept = RedisStore.accept

    def accepted(self: RedisStore, request: Request) -> Accepted | Busy:
        said = accept(self, request)
        if said is Accepted.ACCEPTED:
            die()
        return said

    RedisStore.accept = accepted  # type: ignore[method-assign]


def sleep_at_every_step(seconds: float) -> None:
    """Stand still before and after accepting, and before each message."""
    nothing = threading.Event()  # set by nobody: that time passes is the fault itself, nothing is waited for
    accept = RedisStore.accept
    workflow.BATCH = 1

    def accepted(self: RedisStore, request: Request) -> Accepted | Busy:
        nothing.wait(seconds)
        said = accept(self, request)
        nothing.wait(seconds)
        return said

    RedisStore.accept = accepted  # type: ignore[method-assign]
    before_task_publish.connect(lambda **_: nothing.wait(seconds), weak=False)


def carry_out(order: dict[str, Any]) -> dict[str, object]:
    """Enqueue one operation, or die of it."""
    if order["dies"] == AFTER_ACCEPT:
        die_after_accept()
    if order["dies"] == WHILE_PUBLISHING:
        die_half_way()
    if order["dies"] == ASLEEP:
        sleep_at_every_step(order["asleep"])
    with ClusterClient(load_settings(), created_by="thread") as client:
        operation = ask(client, Order(**order["order"]), order["deadline"])
        return {"accepted": True, "existing": operation.existing, "error": ""}


class Handler(socketserver.StreamRequestHandler):
    """Takes one order."""

    def handle(self) -> None:
        """Carry it out and answer."""
        order = json.loads(self.rfile.readline())
        try:
            said = carry_out(order)
        except LockstepError as error:
            said = {"accepted": False, "existing": False, "error": type(error).__name__}
        except Exception as error:  # noqa: BLE001 - whatever a client may not raise is a finding
            traceback.print_exc()
            said = {"accepted": False, "existing": False, "error": UNEXPECTED + repr(error)}
        self.wfile.write(json.dumps(said).encode() + b"\n")


class Server(socketserver.ForkingTCPServer):
    """A process per order, forked from one that has imported everything already."""

    allow_reuse_address = True
    max_children = 8


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever(poll_interval=0.1)
