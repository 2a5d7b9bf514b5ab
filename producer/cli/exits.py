"""Exit codes, and how a command runs until it ends with one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from enum import IntEnum
from typing import TYPE_CHECKING

from lockstep.producer.cli.output import answer, answer_json, note, printable, tell
from lockstep.producer.process import UNWRITTEN
from lockstep.worker.operation import errors
from lockstep.worker.operation.model import State

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient
    from lockstep.producer.doctor import Finding
    from lockstep.worker.record.damage import Damage


class Exit(IntEnum):
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
    """Gave up waiting; the operation goes on. For commands that ask hosts: one gave no usable answer."""
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

OF_ERROR: dict[Exit, tuple[type[errors.LockstepError], ...]] = {
    Exit.USAGE: (errors.InvalidInput,),
    Exit.NOT_READY: (errors.NotReady,),  # before HostUnavailable, which it is too
    Exit.UNANSWERED: (errors.WaitTimeout, errors.HostUnavailable),
    Exit.NO_REDIS: (errors.StoreUnavailable, errors.StoreFull, errors.UnknownFormat, errors.RecordDamaged),
    Exit.GONE: (errors.RecordGone,),
    Exit.BUSY: (errors.GroupBusy,),
    Exit.REFUSED: (errors.CancelRefused, errors.HoldRefused, errors.AbandonRefused, errors.HostPaused),
}


def exit_of(error: errors.LockstepError) -> Exit:
    return next((code for code, kinds in OF_ERROR.items() if isinstance(error, kinds)), Exit.BUG)


PRINTING = ("C_IMPDEBUG", "KOMBU_DEBUG_POOL")
"""Variables with which Celery and kombu print to stdout, where answers go."""


class Session(ExitStack):
    """What was asked of the command as a whole, and its client, which is closed on leaving."""

    def __init__(self) -> None:
        super().__init__()
        self.debug = False
        self.as_json = False
        self.created_by: str | None = None
        self.going_on = ""
        """What came of the command so far, with the id: for when it is interrupted, or its answer lost."""
        self.damage: dict[Damage, None] = {}
        """What the command found damaged in Redis."""
        self._client: ClusterClient | None = None
        for name in PRINTING:
            os.environ.pop(name, None)

    def show(self, document: Callable[[], Mapping[str, object]], tell: Callable[[], object]) -> Exit:
        """Answer with the document where --json asks for one, else by what tells the same to people."""
        if self.as_json:
            answer_json(document())
        else:
            tell()
        return Exit.OK

    def done(self, text: str, document: Callable[[], Mapping[str, object]]) -> Exit:
        """Print what the command has done, as a line or as a document, and remember it."""
        self.going_on = printable(text)
        return self.show(document, lambda: answer(self.going_on))

    def judge(
        self,
        findings: Generator[Finding],
        width: int,
        about: Callable[[], Mapping[str, object]] = dict,
    ) -> Exit:
        """Print findings as they come, their subjects so wide, or one document of what they are about."""
        found = []
        with closing(findings):  # however this ends, what was written to find them is deleted now
            for finding in findings:
                found.append(finding)
                if not self.as_json:
                    tell(finding, width)
        well = all(each.level == "ok" for each in found)
        if self.as_json:
            answer_json({**about(), "healthy": well, "findings": [asdict(each) for each in found]})
        return Exit.OK if well else Exit.FOUND

    def client(self) -> ClusterClient:
        """Return the client of the settings in the environment. Raises InvalidInput."""
        if self._client is None:
            from lockstep.producer.client.client import ClusterClient

            _tell_what_the_client_logs()
            self._client = self.enter_context(ClusterClient(created_by=self.created_by))
        return self._client


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"lockstep: {record.getMessage()}")


NOTES = _Notes()


def _tell_what_the_client_logs() -> None:
    """Show on stderr that a group is busy, that the sweep sends the tasks, or why there are no traces."""
    logging.getLogger().addHandler(logging.NullHandler())  # nothing of libraries
    for name in ("lockstep.producer.client.client", "lockstep.worker.monitoring.tracing"):
        logger = logging.getLogger(name)
        logger.addHandler(NOTES)
        logger.setLevel(logging.INFO)
        logger.propagate = False
