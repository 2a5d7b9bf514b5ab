"""`celery -A tests.watch.raiser`: a worker whose tasks raise what quotes a secret while a file is there.

Run with arguments from stdin, it is the command, each time in an environment of its own: as often as it is
told in one process, for starting one takes longer than what it does.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lockstep.producer import cli
from lockstep.producer.client import client
from lockstep.worker.celery import QUEUE_OF
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.answer import HttpRequest
from lockstep.worker.operation.content import Id, WriteAnswer
from lockstep.worker.process import secrets
from lockstep.worker.settings import load_settings

FILE = "RAISE_WHILE"


class Unexpected(Exception):
    """Quotes the URL of Redis, and the password in it, as libraries do."""

    def __init__(self) -> None:
        url = load_settings().redis_url.reveal()
        login = load_settings().address.login.password
        super().__init__(f"unexpected at {url} with {login.reveal() if login else None!r}")


def raising(name: str, run: Callable[..., str]) -> Callable[..., str]:
    def wrapped(*arguments: Any, **options: Any) -> str:
        if (told := Path(os.environ[FILE])).exists():
            with told.open("a") as file:
                file.write(f"{name}\n")
            raise Unexpected
        return run(*arguments, **options)

    return wrapped


class Raising:
    """What the command has for a client."""

    def __init__(self, *_: object, **__: object) -> None:
        raise Unexpected


def run_all() -> None:
    """Run the command as often as stdin says."""
    for arguments, env, unexpected in json.load(sys.stdin):
        os.environ.clear()
        os.environ.update(env)
        secrets._known = secrets._Known()  # each is a process of its own
        real = client.ClusterClient
        client.ClusterClient = Raising if unexpected else real  # type: ignore[misc,assignment]
        print(f"RAN {arguments}", flush=True)
        try:
            cli.main(arguments)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            client.ClusterClient = real  # type: ignore[misc]


if __name__ == "__main__":
    run_all()
else:
    from lockstep.celery import app

    app.loader.import_default_modules()
    send = HostClient.send

    def quoting(
        self: HostClient, kind: Kind, verb: Any, thing: Id, request: HttpRequest, *rest: Any
    ) -> WriteAnswer:
        if thing.values == ("raising",):
            raise ValueError(f"unexpected: {request} of {kind} with {rest}")
        return send(self, kind, verb, thing, request, *rest)

    HostClient.send = quoting  # type: ignore[method-assign,assignment]
    for name in QUEUE_OF:
        task = app.tasks[name]
        task.run = raising(name, task.run)  # type: ignore[method-assign]
