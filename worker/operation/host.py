"""One node of the cluster, as Lockstep reaches it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from lockstep.worker.operation.model import HostName, HostRef

_FINGERPRINT_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Host:
    """One node of the cluster, as Lockstep reaches it."""

    name: HostName
    url: str
    """Scheme, host and port, and a path if there is one; without a slash at its end."""
    verify: bool | str = True
    """For https: True, False, or the path of a file with the certificate authorities to trust."""
    token_file: str | None = None
    """A file with a bearer token, read for each call."""
    shows_after: float = 0.0
    """Seconds for which a GET may not show what a write of ours has changed."""
    labels: Mapping[str, str] = field(default_factory=dict)
    cert: tuple[str, str] | None = None
    """For https: the paths of our own certificate and of its key, for a host that asks for one."""

    @property
    def fingerprint(self) -> str:
        """A short digest of the URL: tells whether two inventories mean the same host, and shows no URL."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:_FINGERPRINT_LENGTH]

    @property
    def ref(self) -> HostRef:
        """What the record keeps of a host."""
        return HostRef(self.name, self.fingerprint)
