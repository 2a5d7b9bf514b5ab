"""A token that is replaced while it is used: 401 to the old one is not the last word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lockstep.worker.operation.answer import ProbeAnswer, WriteAnswer, Wrote
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.operation.ports import HostApi

UNAUTHORIZED = "401"


@dataclass(frozen=True, slots=True)
class Renewed:
    """The same host, whose token is read for every call; one that was replaced meanwhile is tried again.

    A GET is sent once more. A write is not: it counts as not applied, so that the step sends it again as
    an attempt of its own. With an unchanged token, 401 is what it always is.
    """

    host: HostApi
    token_file: str

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group."""
        before = self._version()
        answer = self.host.probe(group)
        if answer.text == UNAUTHORIZED and self._version() != before:
            return self.host.probe(group)
        return answer

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group."""
        before = self._version()
        answer = self.host.write(action, group, attempt, send_before, body)
        if answer.text == UNAUTHORIZED and self._version() != before:
            return WriteAnswer(Wrote.NOT_APPLIED, f"{answer.text} to a token that was replaced meanwhile")
        return answer

    def _version(self) -> tuple[int, int, int, int] | None:
        """Return what changes when the file is replaced or written; None if it is not there."""
        try:
            said = Path(self.token_file).stat()
        except OSError:
            return None
        return said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns
