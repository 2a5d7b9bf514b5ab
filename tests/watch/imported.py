"""`celery worker --include tests.watch.imported`: a worker that says what it has imported."""

from __future__ import annotations

import sys
from typing import Any

from celery.signals import worker_ready


@worker_ready.connect
def _tell(**_: Any) -> None:
    found = sorted(name for name in sys.modules if name.startswith("opentelemetry"))
    print(f"imported: {' '.join(found)} .", flush=True)
