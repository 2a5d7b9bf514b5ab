"""Waiting for a condition, with a deadline: the only way in which a test waits."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

T = TypeVar("T")
PATIENCE = 90.0
"""Seconds: far above what anything takes, for the machine may be busy, or stand still for half a minute."""
SOONEST, LATEST, SHARE = 0.01, 0.1, 0.05
"""Seconds between two looks: a share of the wait so far, for many wait at once, and looks take time too."""


def eventually(
    look: Callable[[], T | bool | None],
    what: str | Callable[[], str],
    patience: float = PATIENCE,
    latest: float = LATEST,
) -> T:
    """Return the first true value of `look`; fail with `what` after `patience` seconds.

    `latest` seconds are the most between two looks: more of them for looks that cost.
    """
    began = time.monotonic()
    while True:
        value = look()
        if value:
            return value  # type: ignore[return-value]
        waited = time.monotonic() - began
        assert waited < patience, f"not within {patience:g} s: {what() if callable(what) else what}"
        time.sleep(min(max(SOONEST, SHARE * waited), latest))


def read_until(terminal: int, *wanted: str) -> str:
    """Read what is drawn on a pseudo-terminal until all of `wanted` stands there; without any, to its end.

    One read brings whatever has arrived by then: a part of a line, or half of a letter.
    """
    seen, ended = bytearray(), False
    deadline = time.monotonic() + PATIENCE
    while not (ended if not wanted else all(text.encode() in seen for text in wanted)):
        assert not ended, f"it ended without all of {wanted}: {seen!r}"
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {wanted or 'the end'} in {seen!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                piece = os.read(terminal, 65_536)
            except OSError:  # what Linux says when the other end is closed
                piece = b""
            ended = not piece
            seen += piece
    return seen.decode(errors="replace")


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """Open a page in a browser that never saw it, wait with the same patience, and close it."""
    page = browser.new_page(viewport={"width": 1500, "height": 900})
    try:
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(url)
        yield page
    finally:
        page.close()
