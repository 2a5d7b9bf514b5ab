"""What stands between a step and a host's API; each part is a HostApi around another."""

from lockstep.worker.calling.breaker import Breaker, Spared
from lockstep.worker.calling.tokens import Renewed

__all__ = ["Breaker", "Renewed", "Spared"]
