"""A producer that is killed once its first header has been published."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

from celery.signals import before_task_publish

from lockstep.worker.celery import make_app
from lockstep.worker.celery import messages as workflow
from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.model import Action, GroupId, OperationId
from lockstep.worker.operation.transitions import Claim, Phase, Request
from lockstep.worker.record.link import connect
from lockstep.worker.settings import load_settings

messages = itertools.count(1)


@before_task_publish.connect
def die_at_the_second(**_: Any) -> None:
    if next(messages) > 1:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Accept and publish, one message at a time."""
    settings = load_settings()
    hosts = tuple(load_inventory(settings))
    operation, group = OperationId("dying"), GroupId(sys.argv[1])
    request = Request(operation, group, Action.CREATE, tuple(host.ref for host in hosts), 60_000, "test")
    connect(settings).accept(request)
    workflow.BATCH = 1
    claim = Claim(Phase.FORWARD, group, Action.CREATE, tuple(host.name for host in hosts))
    workflow.publish(make_app(settings), operation, claim)


if __name__ == "__main__":
    main()
