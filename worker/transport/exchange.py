"""One HTTP request and its answer, whatever carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

HEADERS = {"User-Agent": "lockstep", "Accept": "application/json", "Accept-Encoding": "identity"}
"""Sent with every request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent, and what bounds it; times in seconds."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    verify: bool | str
    """For https: True, False, or the path of a file with the certificate authorities to trust."""
    connect_timeout: float
    read_timeout: float
    most: int
    """Bytes of the answer's body that are read; a longer one is given up."""
    cert: tuple[str, str] | None = None
    """For https: the paths of the client's certificate and of its key."""


class ShortBody(OSError):
    """The answer's head came, and its body did not within the read time-out."""


class Headers(Protocol):
    """The headers of an answer, looked up without regard to case."""

    def get(self, name: str, /) -> str | None:
        """Return a header's value, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is None when it was too long."""

    status: int
    body: bytes | None
    headers: Headers


Exchange = Callable[[Request], Answer]
"""No redirects, no retries, no proxy from the environment. Raises TooLate when the guard refused, and what
its library raises."""
