"""Errors that only those who ask can meet; the others are in `lockstep.worker.operation.errors`."""

from __future__ import annotations

from lockstep.worker.operation.errors import HostUnavailable, LockstepError


class AbandonRefused(LockstepError):
    """The host is not pending in this operation: there is nothing to give up."""


class NotReady(HostUnavailable):
    """A host did not answer the preflight. Nothing was written."""
