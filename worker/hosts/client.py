"""Real time and chance."""

from __future__ import annotations

import json
import random
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lockstep.worker.hosts.request import Carry, Request
from lockstep.worker.operation.answer import (
    METHODS,
    NoReply,
    ProbeAnswer,
    Reply,
    Trouble,
    WriteAnswer,
    classify_probe,
    classify_write,
)
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId
from lockstep.worker.operation.ports import Clock, Stopping
from lockstep.worker.secrets import know
from lockstep.worker.settings import Settings

_SUSPENSION_COUNTS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC does the same."""


class SystemClock:
    """The Clock of real workers."""

    def elapsed(self) -> float:
        """Seconds on a clock that never steps and goes on while the machine is suspended."""
        return time.clock_gettime(_SUSPENSION_COUNTS)

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    def new_id(self) -> AttemptId:
        """An id that no other attempt has."""
        return AttemptId(secrets.token_hex(8))


_TOKEN = re.compile(r"[\x21-\x7e]+")


def never() -> bool:
    """The `stopping` of a process that is not a worker."""
    return False


@dataclass(frozen=True, slots=True)
class HostClient:
    """The HostApi of one host."""

    host: Host
    settings: Settings
    carry: Carry
    clock: Clock = field(default_factory=SystemClock)
    stopping: Callable[[], bool] = never

    @property
    def fingerprint(self) -> str:
        """The digest of the URL by which the record knows this host."""
        return self.host.fingerprint

    def probe(self, group: GroupId) -> ProbeAnswer:
        """GET the group. Raises Stopping if the worker is being stopped before it is answered."""
        if self.stopping():
            raise Stopping
        said = self._call("GET", f"/v1/group/{group}/", None, {}, lambda: True)
        if isinstance(said, NoReply) and self.stopping():
            raise Stopping
        return classify_probe(group, said)

    def write(
        self, action: Action, group: GroupId, attempt: AttemptId, send_before: float, body: str | None = None
    ) -> WriteAnswer:
        """POST or DELETE the group, unless `send_before` has passed when bytes would leave."""

        def in_time() -> bool:
            return self.clock.elapsed() < send_before and not self.stopping()

        payload = body or json.dumps({"groupId": group})
        headers = {"Content-Type": "application/json", "X-Lockstep-Attempt": attempt}
        said = self._call(METHODS[action], "/v1/group/", payload.encode(), headers, in_time)
        return replace(classify_write(action, group, said), shows_after=self.host.shows_after)

    def unwell(self, path: str) -> str | None:
        """GET a path below the host's URL; return None for any 2xx, else what came, in a few words."""
        if self.stopping():
            raise Stopping
        said = self._call("GET", path, None, {}, lambda: True)
        if isinstance(said, NoReply):
            if self.stopping():
                raise Stopping
            return f"{said.trouble}: {said.detail}"
        return None if 200 <= said.status < 300 else str(said.status)

    def _call(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        may_send: Callable[[], bool],
    ) -> Reply | NoReply:
        ends = time.monotonic() + self.settings.call_timeout
        try:
            headers = {**headers, **self._authorization()}
        except OSError as error:
            return NoReply(Trouble.NOT_SENT, f"token file of {self.host.name}: {error.strerror}")
        except _NoToken as error:
            return NoReply(Trouble.NOT_SENT, f"token file of {self.host.name} {error}")
        return self.carry(
            Request(
                method,
                self.host.url + path,
                data,
                headers,
                verify=self.host.verify,
                cert=self.host.cert,
                connect_timeout=self.settings.connect_timeout,
                read_timeout=self.settings.read_timeout,
                ends=ends,
                most=self.settings.max_body_bytes,
                may_send=may_send,
                stopping=self.stopping,
            )
        )

    def _authorization(self) -> dict[str, str]:
        if self.host.token_file is None:
            return {}
        return {"Authorization": f"Bearer {_token(Path(self.host.token_file).read_bytes())}"}


class _NoToken(Exception):
    """A file has no token that can be sent; the text says why, and nothing of the file."""


def _token(content: bytes) -> str:
    """Return the token in a file, which is masked from now on, whether it can be sent or not."""
    know(content.decode("latin-1"))
    try:
        token = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _NoToken("is not UTF-8 text") from None
    know(token)
    if not token:
        raise _NoToken("is empty")
    if not _TOKEN.fullmatch(token):
        raise _NoToken("has more than one word, or characters that a header cannot carry")
    return token
