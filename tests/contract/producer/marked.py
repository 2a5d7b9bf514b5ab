"""The command, which writes the file HOLD_MARK once a run of many groups is told to start no more."""

from __future__ import annotations

import os
import runpy
import threading
from pathlib import Path
from unittest.mock import Mock

from lockstep.producer.operators import batch


class Marked(threading.Event):
    """What a run is told by."""

    def set(self) -> None:
        super().set()
        Path(os.environ["HOLD_MARK"]).touch()


if __name__ == "__main__":
    batch.threading = Mock(Event=Marked)  # type: ignore[attr-defined]
    runpy.run_module("lockstep", run_name="__main__")
