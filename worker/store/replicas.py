"""Waiting for replicas: what a write to a host rests on must outlive the loss of the primary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import redis
from redis.client import Pipeline

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.store.causes import unavailable
from lockstep.worker.store.gathering import Kind

RECORDED = frozenset({"finish", "missed"})
"""Scripts that keep what a host said, and by that may decide: they run whether replicas follow or not."""
CONFIRMED = RECORDED | {"accept", "begin", "begin_undo", "claim", "cancel", "abandon"}
"""Scripts after which a host is written to, or somebody is told what holds. All others are found out again
from the hosts if they are lost: a closed attempt is open again, and is settled again."""
ASKED = 2
"""Commands with which the replicas are asked."""


class Replicas:
    """How many replicas must have what the scripts above wrote, and whether they had it when last asked."""

    def __init__(self, fence: str, wanted: int, within: int) -> None:
        """`fence` is a key of our own, `within` in milliseconds; none are waited for when `wanted` is 0."""
        self._fence = fence
        self._wanted = wanted
        self._within = within
        self.behind = False
        """The last answer was that they do not have it: they are asked before anything more is begun."""

    def concern(self, kinds: Iterable[Kind]) -> bool:
        """Tell whether any of these scripts must be confirmed."""
        return self._wanted > 0 and any(name in CONFIRMED for name, _ in kinds)

    def ask(self, pipe: Pipeline) -> None:
        """Have the pipeline wait, at its end, for all that was written before."""
        # WAIT covers what its own connection wrote. A repeated script may have written nothing, while what it
        # found was written through another connection: a write of our own comes after both.
        pipe.set(self._fence, 1)
        pipe.execute_command("WAIT", self._wanted, self._within)  # type: ignore[no-untyped-call]

    def missing(self, said: Sequence[object]) -> StoreUnavailable | None:
        """Read the answers to `ask`; return what is wrong if the replicas do not have everything."""
        error = next((each for each in said if isinstance(each, redis.RedisError)), None)
        have = said[-1]
        self.behind = error is not None or not isinstance(have, int) or have < self._wanted
        if error is not None:
            return unavailable(error)
        if self.behind:
            return StoreUnavailable(
                f"{have} of {self._wanted} replicas of Redis had the last write after {self._within} ms: "
                "nothing rests on it until they have; see that they run, and LOCKSTEP_REPLICAS_WAIT"
            )
        return None
