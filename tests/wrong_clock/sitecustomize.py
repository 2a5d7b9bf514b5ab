"""Read by every Python process that is started with a wrong clock.

libfaketime 0.9.10 refuses to sleep until a monotonic time, as Python does, when it is told to leave the
monotonic clock alone.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
