"""An in-memory twin of the store: the same transitions, in plain Python, with the clock passed in."""

from tests.twin.store import MemoryStore

__all__ = ["MemoryStore"]
