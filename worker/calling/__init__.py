"""What stands between a step and a host's API; each part is a HostApi around another."""

from worker.calling.breaker import Breaker, Spared
from worker.calling.tokens import Renewed

__all__ = ["Breaker", "Renewed", "Spared"]
