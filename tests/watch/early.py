"""`celery -A tests.watch.early worker`: says which threads there are before the logs have their format."""

from __future__ import annotations

import json
import threading
from typing import Any

from celery.signals import after_setup_logger

from lockstep.worker.celery import make_app
from lockstep.worker.settings import load_settings


@after_setup_logger.connect
def _tell(**_: Any) -> None:
    names = [thread.name for thread in threading.enumerate()]
    print(json.dumps({"event": "threads before the logs", "names": names}), flush=True)


app = make_app(load_settings())
