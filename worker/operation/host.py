"""A host: its address, why nobody calls it (it is paused or silent), and times and limits of its calls."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import AttemptId, HostName, HostRef, Millis
from lockstep.worker.operation.names import show

UNITS = ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


def local(at: Millis) -> str:
    """Return a time to the second in the local zone: `2026-01-31 13:00:00 CET`."""
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def age(at: Millis, now: Millis) -> str:
    """Return how long ago, or ahead, a time is: `4 min ago`, `in 40 s`; the largest unit alone."""
    apart = abs(now - at)
    for unit, name in UNITS:
        if apart >= (2 * unit if name == "days" else unit):
            long = f"{apart // unit} {name}"
            return f"{long} ago" if at <= now else f"in {long}"
    return "just now"


LIMITS = ("max_writes_at_once", "writes_per_second")
"""As an inventory and the settings name them."""
MOST_AT_ONCE = 10_000
ALL_HOSTS = "*"
"""Stands for the name of a host in a limit for all hosts together."""


@dataclass(frozen=True, slots=True)
class WriteLimit:
    """How many writes a host takes from all workers together, or all hosts take; None for any number."""

    at_once: int | None = None
    a_second: float | None = None

    @classmethod
    def read(cls, where: str, given: Mapping[object, object]) -> WriteLimit:
        """Read what an inventory or the settings say. Raises InvalidInput, which names `where` that is."""
        at_once, a_second = (given.get(name) for name in LIMITS)
        if not (at_once is None or (type(at_once) is int and 1 <= at_once <= MOST_AT_ONCE)):
            rule = f"give a whole number from 1 to {MOST_AT_ONCE}"
            raise InvalidInput(f"{where} max_writes_at_once {show(at_once)}: {rule}")
        if a_second is None:
            return cls(at_once)
        if not isinstance(a_second, int | float) or a_second is True or not 0.01 <= a_second <= 1000:
            raise InvalidInput(f"{where} writes_per_second {show(a_second)}: give a number from 0.01 to 1000")
        return cls(at_once, a_second)

    def over(self, default: WriteLimit) -> WriteLimit:
        """Return it with what a default says where it says nothing."""
        return WriteLimit(self.at_once or default.at_once, self.a_second or default.a_second)

    def kept(self) -> str:
        return f"{self.at_once or '-'} {f'{self.a_second:g}' if self.a_second else '-'}"


UNLIMITED = WriteLimit()


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials in a file, read for each call: `user:password`, or what a header holds."""

    file: str
    header: str = "Authorization"
    basic: bool = False


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
    health: str | None = None
    """The path that must answer 2xx at the gate of a wave."""
    cert: tuple[str, str] | None = None
    """For https: the paths of our own certificate and of its key, for a host that asks for one."""
    server_name: str | None = None
    """For https: the name that is asked for and that its certificate must be for, if not that of the URL."""
    auth: Auth | None = None
    """Instead of a bearer token."""
    serves: tuple[str, ...] = ("*",)
    """Patterns of the kinds that it serves."""
    limit: WriteLimit = UNLIMITED
    """How many writes it takes from all workers together."""

    credentials: str | None = field(init=False)
    """The file that its token, password or key is read from."""
    fingerprint: str = field(init=False)
    """A short digest of the URL: tells whether two inventories mean the same host, and shows no URL."""
    ref: HostRef = field(init=False)
    """What the record keeps of a host."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:12]
        object.__setattr__(self, "credentials", self.token_file if self.auth is None else self.auth.file)
        object.__setattr__(self, "fingerprint", digest)
        object.__setattr__(self, "ref", HostRef(self.name, digest))


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a host, when and why; operations that were accepted before go on."""

    host: HostName
    by: str
    at: Millis
    why: str

    @property
    def text(self) -> str:
        """One clause for people: who, since when, and why."""
        since = local(self.at)
        return f"paused by {self.by} since {since}: {self.why}"


def refusal(pause: Pause, others: int) -> str:
    """Say why an operation that needs this host, and `others` that are paused too, is not begun."""
    more = f"; {others} more of its hosts are paused" if others else ""
    return (
        f'host "{pause.host}" is {pause.text}{more}; nothing was written, '
        f"`lockstep resume {pause.host}` ends the pause"
    )


@dataclass(frozen=True, slots=True)
class Silence:
    """Forward looks skip a host until `until`, after `failures` in a row without an answer."""

    host: HostName
    since: Millis
    until: Millis
    failures: int
    why: str
    """What came of the last one."""

    def text(self, left: int) -> str:
        """One clause for people; `left` is in milliseconds."""
        return spared_text(left / 1000, self.failures, self.why)


def spared_text(left: float, failures: int, why: str) -> str:
    """Say for how many seconds more a host is spared, and why."""
    lasts = f"for {max(1, left):.0f} s" if left > 0 else "until one look has found out whether it answers"
    return f"spared {lasts}: {failures} looks in a row failed ({why})"


DEFAULT_PORTS = {"http": 80, "https": 443}
_NEVER_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")


def parse_url(value: object) -> str:
    """Return a host's base URL in its one canonical form; raise InvalidInput naming the rule it breaks."""
    shown = show(value)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"url {shown} is missing or not a string: give http://HOST:PORT")
    rest = value.partition("://")[2]
    authority = rest.partition("/")[0]
    if "@" in rest:
        # The value is not shown: it holds a secret.
        named = show(re.split(r"[^\w.:\[\]-]", rest.rpartition("@")[2])[0])
        raise InvalidInput(f"url of {named} has a user or password in it: use token_file")
    if _NEVER_IN_A_URL.search(value):
        raise InvalidInput(f"url {shown} has a blank, a backslash or a control character")
    if not value.isascii():
        raise InvalidInput(f"url {shown} is not all ASCII: percent-encode its path, and give a name as xn--")
    if authority.count(":") > 1 and "[" not in authority:
        raise InvalidInput(f"url {shown} has a bare IPv6 address: put it in brackets")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"url {shown} is malformed: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise InvalidInput(f"url {shown} must start with http:// or https://")
    if "?" in value or "#" in value:
        raise InvalidInput(f"url {shown} has a query or fragment: give scheme, host and port only")
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise InvalidInput(f"url {shown} names no host")
    if port == 0 or parts.netloc.endswith(":"):
        raise InvalidInput(f"url {shown} has port {port if port is not None else 'missing'}: give 1 to 65535")
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}:{port or DEFAULT_PORTS[parts.scheme]}{parts.path.rstrip('/')}"


class Clock(Protocol):
    def elapsed(self) -> float:
        """Seconds on a clock that never steps and goes on while the machine is suspended."""

    def jitter(self) -> float:
        """A random number in [0, 1)."""

    def new_id(self) -> AttemptId:
        """An id that no other attempt has."""


MaySend = Callable[[], bool]
"""Asked as the last thing before the first byte of a write leaves."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: drawn evenly from 0 to min(cap, base * 2**n)."""

    base: float
    cap: float

    def ceiling(self, failures: int) -> float:
        """Return the longest delay in seconds after this many failures in a row, from 1."""
        exponent = min(max(failures, 1) - 1, 32)
        return min(self.cap, self.base * 2.0**exponent)

    def delay(self, failures: int, jitter: float) -> float:
        """Return the delay in seconds; `jitter` is a random number in [0, 1) that the caller drew."""
        return self.ceiling(failures) * jitter


NAMED_AFTER = 5
"""Tries in a row that brought nothing, after which a host that is to be restored is named as stalled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in milliseconds; their defaults and the reasons are in `lockstep.worker.settings`."""

    send_within: int
    """From the opening of an attempt until its write may no longer leave."""
    call: int
    """The longest that one HTTP call may take, all in all."""
    settle: int
    """A host that answers a GET has finished every request older than this."""
    sweep_patience: int
    """The sweep resumes an operation after this time without progress; doubles each time."""
    longest_countdown: int
    """A longer wait is kept in the record instead of a Celery countdown."""
    host_patience: int
    """After this time without a usable answer a host is given up, while its operation is undecided."""
    memory_watermark: float
    replicas: int
    replicas_within: int
