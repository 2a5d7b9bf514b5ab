"""What one run of the command holds: its client, built when needed, and what an interrupt leaves behind."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import TYPE_CHECKING

from lockstep.producer.cli.output import note

if TYPE_CHECKING:
    from lockstep.producer.client import ClusterClient
    from lockstep.worker.store.damage import Damage

PRINTING = ("C_IMPDEBUG", "KOMBU_DEBUG_POOL")
"""Variables with which Celery and kombu print to stdout, where answers go."""


class Session:
    """Closes its client on leaving."""

    def __init__(self) -> None:
        self.debug = False
        self.going_on = ""
        """What came of the command so far, with the id: for when it is interrupted, or its answer lost."""
        self.damage: dict[Damage, None] = {}
        """What the command found damaged in Redis."""
        self._client: ClusterClient | None = None
        for name in PRINTING:
            os.environ.pop(name, None)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()

    def client(self, created_by: str | None = None) -> ClusterClient:
        """Return the client of the settings in the environment. Raises InvalidInput."""
        if self._client is None:
            from lockstep.producer.client import ClusterClient

            _tell_what_the_client_logs()
            self._client = ClusterClient(created_by=created_by)
        return self._client


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"lockstep: {record.getMessage()}")


def _tell_what_the_client_logs() -> None:
    """Show on stderr that a group is busy, or that the sweep has to send the tasks; nothing of libraries."""
    logging.getLogger().addHandler(logging.NullHandler())
    logger = logging.getLogger("lockstep.producer.client")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)
        logger.propagate = False
