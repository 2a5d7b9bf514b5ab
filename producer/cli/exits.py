"""Exit codes: a promise to scripts, listed in docs/cli.md."""

from __future__ import annotations

from enum import IntEnum

from lockstep.producer.errors import AbandonRefused, NotReady
from lockstep.producer.process import UNWRITTEN
from lockstep.worker.operation.errors import (
    CancelRefused,
    GroupBusy,
    HostPaused,
    HostUnavailable,
    InvalidInput,
    LockstepError,
    RecordDamaged,
    RecordGone,
    StoreFull,
    StoreUnavailable,
    UnknownFormat,
    WaitTimeout,
)
from lockstep.worker.operation.states import State


class Exit(IntEnum):
    """What the command ends with."""

    OK = 0
    """Committed, accepted with --no-wait, or `exists` says yes."""
    ROLLED_BACK = 1
    """Rolled back, or `exists` says no."""
    FOUND = 1
    """The same number for commands that look for trouble and found some."""
    USAGE = 2
    PENDING = 3
    """Every host that answers is restored; the others are retried for ever."""
    UNANSWERED = 4
    """Gave up waiting; the operation goes on. For `exists`: the host gave no usable answer."""
    NO_REDIS = 5
    BUSY = 6
    ABANDONED = 7
    REFUSED = 8
    """A cancel or an abandon came at the wrong time, or an operation needs a paused host."""
    NOT_READY = 9
    """A host did not answer the preflight: nothing was written."""
    GONE = 10
    """The record of an accepted operation is gone: hosts may have been changed."""
    BUG = 70
    UNWRITTEN = UNWRITTEN
    """The answer, or a part of it, could not be written to stdout; stderr says what came of the command."""
    HUNG_UP = 129
    """Ended by SIGHUP; like the other two 128 + the signal's number, which a shell makes of it too."""
    INTERRUPTED = 130
    TERMINATED = 143


OF_STATE = {
    State.COMMITTED: Exit.OK,
    State.ROLLED_BACK: Exit.ROLLED_BACK,
    State.ROLLING_BACK: Exit.PENDING,
    State.ABANDONED: Exit.ABANDONED,
}

OF_ERROR: dict[type[LockstepError], Exit] = {
    InvalidInput: Exit.USAGE,
    WaitTimeout: Exit.UNANSWERED,
    NotReady: Exit.NOT_READY,  # before HostUnavailable, which it is too
    HostUnavailable: Exit.UNANSWERED,
    StoreUnavailable: Exit.NO_REDIS,
    StoreFull: Exit.NO_REDIS,
    UnknownFormat: Exit.NO_REDIS,
    RecordDamaged: Exit.NO_REDIS,
    RecordGone: Exit.GONE,
    GroupBusy: Exit.BUSY,
    CancelRefused: Exit.REFUSED,
    AbandonRefused: Exit.REFUSED,
    HostPaused: Exit.REFUSED,
}


def exit_of(error: LockstepError) -> Exit:
    """Return the exit code for an error."""
    return next((code for kind, code in OF_ERROR.items() if isinstance(error, kind)), Exit.BUG)
