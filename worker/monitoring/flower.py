"""What a task looks like in Flower: `create_group  team-a @ node3 · op 7f3c81d2  applied`."""

from __future__ import annotations

import ast
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname
from typing import Any

from lockstep.extras import complaint
from lockstep.worker.connection import SKEW, clock_ahead, impatient_client

log = logging.getLogger("flower.events")
PREFIX = "lockstep."
SHOWN = 8
_GENERATED_ID = re.compile(r"\bop ([0-9a-f]{12})$")
_REPR = re.compile(r"""^(['"]).*\1$""", re.DOTALL)


def shown(task: Any) -> Any:
    """Shorten what Flower shows of a task; searches still look at the whole, for Flower passes a copy."""
    if task.name:
        task.name = task.name.removeprefix(PREFIX)
    if task.args:
        task.args = _GENERATED_ID.sub(lambda found: f"op {found[1][:SHOWN]}", task.args)
    if task.result:
        task.result = plain(task.result)
    return task


def plain(result: str) -> str:
    """Return the text that a result's repr stands for; any other result as it is."""
    if not _REPR.match(result):
        return result
    try:
        return str(ast.literal_eval(result))
    except (ValueError, SyntaxError):  # cut short by Celery
        return result


OPEN = "FLOWER_UNAUTHENTICATED_API"


def refusal(
    address: str, unix_socket: str, credentials: Sequence[str], environment: Mapping[str, str]
) -> str | None:
    """Say why Flower must not start: it would listen beyond this machine and ask for no password."""
    if any(credentials) or unix_socket or _loopback(address):
        return None
    if environment.get(OPEN, "").lower() in ("1", "true", "yes", "on"):
        return None
    return (
        f"Flower does not start: it would listen on {address or 'every address'} and ask for no password. "
        f"Set FLOWER_BASIC_AUTH=name:password from a secret, or --address=127.0.0.1; where something else "
        f"keeps strangers out, {OPEN}=true."
    )


def _loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


CONFIGURATION = Path(__file__).with_name("flowerconfig.py")
TEXT, NUMBER = (str, type(None)), (int, float, type(None))
KINDS = {
    **dict.fromkeys(("timestamp", "local_received", "utcoffset", "clock", "pid", "freq"), NUMBER),
    **dict.fromkeys(("active", "processed", "retries", "runtime"), NUMBER),
    **dict.fromkeys(("sw_ident", "sw_ver", "sw_sys", "name", "args", "kwargs", "result", "exception"), TEXT),
    **dict.fromkeys(("traceback", "eta", "expires", "queue", "exchange", "routing_key"), TEXT),
    **dict.fromkeys(("root_id", "parent_id", "signum"), (*TEXT, int)),
    **dict.fromkeys(("terminated", "expired", "requeue"), (bool, type(None))),
}
"""What an event may tell, and how. Anybody who may publish to Redis can forge one."""


def sound(event: object) -> dict[str, Any] | None:
    """Return of an event what is as it should be; None if it says not even what it is about."""
    if not isinstance(event, dict):
        return None
    about = ["type", "hostname", *(["uuid"] if str(event.get("type")).startswith("task-") else [])]
    if not all(isinstance(event.get(name), str) and event[name] for name in about):
        return None
    if not isinstance(event.get("timestamp"), (int, float)) or "-" not in event["type"]:
        return None
    told = {name: event[name] for name in event if isinstance(event[name], KINDS.get(name, ()))}
    load = event.get("loadavg")
    if isinstance(load, (list, tuple)) and all(isinstance(each, (int, float)) for each in load):
        told["loadavg"] = list(load)
    return {**told, **{name: event[name] for name in about}}


AGAIN = 5.0
"""Seconds after which Flower listens again for what workers say, once Redis was away."""


def listen(self: Any) -> None:
    """Take what workers say, for ever. Flower's own loop doubles its waits without end, so that it would hear
    nothing after an outage for as long as that had lasted.
    """
    from flower.events import EventReceiver  # type: ignore[import-untyped]

    while True:
        try:
            with self.capp.connection() as connection:
                said = EventReceiver(connection, handlers={"*": self.on_event}, app=self.capp)
                said.capture(limit=None, timeout=None, wakeup=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, what comes later is heard
            log.error("Nothing is heard of workers (%s); trying again in %g s", error, AGAIN)
        time.sleep(AGAIN)


CLOCK = "lockstep_clock"
"""The remote control command by which workers are told that this machine's clock is wrong."""
TOLD_EVERY = 15.0
"""Seconds between two looks at it."""


def tell_clock(app: Any) -> None:
    """Have workers report this machine's clock while it is wrong: Flower's own login may write nothing."""
    asked = impatient_client(app.settings)
    while True:
        try:
            ahead = clock_ahead(asked)
            if ahead is not None and abs(ahead) > SKEW:
                app.control.broadcast(CLOCK, {"process": f"flower@{gethostname()}", "ahead": ahead})
        except Exception as error:  # noqa: BLE001 - Redis is away; what Flower hears says so
            log.debug("the clock was not compared with Redis': %s", error)
        time.sleep(TOLD_EVERY)


def close_gaps() -> None:
    """Let Flower ask for its password at /metrics, show only what workers say, listen on, tell its clock."""
    from flower import app, events  # type: ignore[import-untyped]
    from flower.views import monitor  # type: ignore[import-untyped]
    from tornado.web import authenticated

    monitor.Metrics.get = authenticated(monitor.Metrics.get)
    take = events.EventsState.event

    def event(self: Any, told: object) -> None:
        if (kept := sound(told)) is not None:
            take(self, kept)

    begin = app.Flower.start

    def start(self: Any) -> None:
        threading.Thread(target=tell_clock, args=(self.capp,), name="clock", daemon=True).start()
        begin(self)

    app.Flower.start = start
    events.EventsState.event = event
    events.Events.run = listen


def __getattr__(name: str) -> Any:
    """Give Celery its command `flower`: Flower's own; without the extra, one that nobody sees.

    Without it Celery would know no such command, and never ask our application, which says what is missing.
    """
    if name != "command":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from flower.command import flower  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        import click

        def unknown() -> None:  # says what Celery says; it is another's application
            raise click.UsageError("No such command 'flower'.")

        return click.Command("flower", callback=unknown, hidden=True)
    return flower


def main(arguments: Sequence[str]) -> None:
    from celery.__main__ import main as celery

    if lacks := complaint("flower", "Flower"):
        raise SystemExit(f"lockstep: error: {lacks}")
    close_gaps()
    os.environ.setdefault("FLOWER_CONF", str(CONFIGURATION))
    sys.argv = ["celery", "-A", "lockstep", "flower", *arguments]
    celery()


if __name__ == "__main__":
    main(sys.argv[1:])
