"""What stands between a step and a host's API; each part is a HostApi around another."""

from worker.calling.breaker import Breaker, Spared
from worker.calling.tokens import Renewed
from worker.calling.turns import Capped, Turns

__all__ = ["Breaker", "Capped", "Renewed", "Spared", "Turns"]
