"""What goes wrong with single calls: a little all the time, and much of one kind in silences."""

from __future__ import annotations

from lockstep.mock_api.admin import Fault, Json
from tests.chaos.children import Node
from tests.chaos.orders import IGNORES, REWRITES
from tests.chaos.tiers import Times

WRITES = ["POST", "DELETE"]
LATENCY: Json = {"uniform": [2, 40]}
SLOW: Json = {"choices": [[0.6, 400], [0.2, 900], [0.1, 1500]]}


class Weather:
    """Sets the faults of nodes."""

    def __init__(self, times: Times, read_timeout: float) -> None:
        early, late = times.lands_late
        self.fair: tuple[Fault, ...] = (
            {"kind": "delayed", "seconds": early, "probability": 0.04},
            {"kind": "delayed", "seconds": late, "probability": 0.04},
            {"kind": "error_after", "probability": 0.06, "methods": WRITES},
            {"kind": "hang_after", "probability": 0.02, "methods": WRITES},
            {"kind": "reset_after", "probability": 0.05, "methods": WRITES},
            {"kind": "malformed", "probability": 0.01, "methods": WRITES},
            {"kind": "wrong_id", "probability": 0.01, "methods": WRITES},
            {"kind": "reset_before", "probability": 0.01},
            {"kind": "error_before", "probability": 0.03},
            {"kind": "hang_before", "probability": 0.005},
            {"kind": "throttle", "probability": 0.02, "retry_after": 1},
            {"kind": "refuse", "probability": 0.015},
        )
        things: Fault = {"group": "card/*", "methods": WRITES}
        self.strange: dict[str, tuple[Fault, ...]] = {
            REWRITES: ({"kind": "rewrite", "probability": 0.5, **things},),
            IGNORES: ({"kind": "ignore", "probability": 0.35, **things},),
        }
        self.silences: dict[str, tuple[Fault, ...]] = {
            "storm of 500": ({"kind": "error_before", "probability": 0.7},),
            "429": ({"kind": "throttle", "probability": 0.7, "retry_after": 1},),
            "late landings": (
                {"kind": "delayed", "seconds": early, "probability": 0.4},
                {"kind": "delayed", "seconds": late, "probability": 0.4},
            ),
            "500 after effect": ({"kind": "error_after", "probability": 0.8, "methods": WRITES},),
            "timeouts after effect": ({"kind": "hang_after", "probability": 0.6, "methods": WRITES},),
            "answers one byte at a time": (
                {"kind": "dribble", "probability": 0.4},
                {"kind": "dribble", "seconds": read_timeout / 2, "probability": 0.2},
                {"kind": "dribble", "seconds": read_timeout + 1, "probability": 0.3},
            ),
            "slow host": (),
        }

    def usual(self, node: Node) -> None:
        """Set what goes wrong all the time, also after a restart of the node."""
        node.admin.set_faults(*self.fair, *self.strange.get(node.name, ()))
        node.admin.set_latency(LATENCY)

    def silence(self, node: Node, kind: str) -> None:
        """Begin a silence of one kind, in place of the usual faults."""
        node.admin.set_faults(*self.silences[kind])
        if kind == "slow host":
            node.admin.set_latency(SLOW)

    def struck(self, node: Node) -> int:
        """Return how many calls the faults met that were set last."""
        return sum(int(str(armed["fired"])) for rules in node.admin.faults().values() for armed in rules)

    def none(self, node: Node) -> None:
        """Heal the node."""
        node.admin.set_faults()
        node.admin.set_latency(None)
