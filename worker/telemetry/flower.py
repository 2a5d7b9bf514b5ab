"""`python -m lockstep.worker.telemetry.flower --address=… --port=…`: Flower, configured by `flowerconfig`.

It takes Flower's own options and FLOWER_ variables; another configuration may be named with --conf.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
"""What an event may tell, and how. Whoever may publish to Redis may forge one."""


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


def close_gaps() -> None:
    """Let Flower ask for its password at /metrics too, and show nothing that no worker says."""
    from flower import events  # type: ignore[import-untyped]
    from flower.views import monitor  # type: ignore[import-untyped]
    from tornado.web import authenticated

    monitor.Metrics.get = authenticated(monitor.Metrics.get)
    take = events.EventsState.event

    def event(self: Any, told: object) -> None:
        if (kept := sound(told)) is not None:
            take(self, kept)

    events.EventsState.event = event


def main(arguments: Sequence[str]) -> None:
    """Run Flower until it is stopped."""
    from celery.__main__ import main as celery

    close_gaps()
    os.environ.setdefault("FLOWER_CONF", str(CONFIGURATION))
    sys.argv = ["celery", "-A", "lockstep", "flower", *arguments]
    celery()


if __name__ == "__main__":
    main(sys.argv[1:])
