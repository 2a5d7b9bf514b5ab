"""The states of an operation, who moves each of them on, and the pairs that are allowed."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an operation stands."""

    APPLYING = "applying"
    """Header tasks move it on; `conclude` or the sweep decides."""
    COMMITTED = "committed"
    """Every host is as asked. The lock goes with the last open attempt (settle)."""
    ROLLING_BACK = "rolling_back"
    """Rollback tasks move it on; the sweep resumes them for ever."""
    ROLLED_BACK = "rolled_back"
    """Every host is as it was before the operation touched it. An end."""
    ABANDONED = "abandoned"
    """An operator gave up on a host; every other host is as it was. An end."""


ALLOWED: frozenset[tuple[State, State]] = frozenset(
    {
        (State.APPLYING, State.COMMITTED),  # decide: every host applied or unchanged
        (State.APPLYING, State.ROLLING_BACK),  # decide: a step failed, the deadline passed, or cancel
        (State.ROLLING_BACK, State.ROLLED_BACK),  # the last host was restored, no attempt is open
        (State.ROLLING_BACK, State.ABANDONED),  # the same, but an operator gave up on at least one host
    }
)


def allowed(old: State, new: State) -> bool:
    """Tell whether an operation may go from `old` to `new` in one transition."""
    return (old, new) in ALLOWED
