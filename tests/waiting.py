"""Waiting for a condition, with a deadline: the only way in which a test waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 45.0
"""Seconds: far above what anything takes, for the machine may be busy."""
STEP = 0.01


def eventually(look: Callable[[], T | bool | None], what: str, patience: float = PATIENCE) -> T:
    """Return the first true value of `look`; fail with `what` after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        value = look()
        if value:
            return value  # type: ignore[return-value]
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(STEP)
