"""Where every choice of a schedule comes from; 0 is always the choice with which nothing goes wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence


class Choices:
    """Numbers drawn from a seed, or replayed from a trace; beyond its end all goes well."""

    __slots__ = ("_draw", "_replay", "trace")

    def __init__(self, seed: int | None = None, replay: Sequence[int] = ()) -> None:
        self.trace: list[int] = []
        self._replay = iter(replay)
        self._draw = random.Random(seed).random if seed is not None else None

    def choose(self, count: int) -> int:
        """Return a number from 0 up to, and without, `count`."""
        chosen = int(self._draw() * count) if self._draw is not None else next(self._replay, 0) % count
        self.trace.append(chosen)
        return chosen
