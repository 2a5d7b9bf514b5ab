"""What a worker says of itself when it is asked, for `lockstep doctor`."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version

from celery.worker.control import inspect_command

from lockstep.worker.celery import ABOUT


@inspect_command(name=ABOUT)
def about(state: object) -> dict[str, object]:
    """Return the versions of what runs here."""
    return {
        "lockstep": version("lockstep"),
        "celery": version("celery"),
        "python": platform.python_version(),
        "now": round(time.time() * 1000),  # for a doctor of an earlier release
    }
