"""Where Redis is: one URL, read in one place for the record, for Celery and for Flower.

`redis://` and `rediss://` name a server; `sentinel://` and `sentinels://` name Sentinels, which know which
server is the primary just now. The second of each speaks TLS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

SERVERS = ("redis", "rediss")
SENTINELS = ("sentinel", "sentinels")
SENTINEL_PORT = 26379
FORMS = "redis://HOST:PORT/0, rediss://… or sentinel://HOST:PORT,HOST:PORT/0?master=NAME"


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password; None for what is not given."""

    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels that watch over a primary, and how they and the servers are logged in to."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    database: int
    login: Login
    own_login: Login
    """For the Sentinels themselves, which know other users than the servers do."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that was understood."""

    url: str
    tls: bool
    sentinels: Sentinels | None
    """None for one server, which the URL says all about."""

    @property
    def shown(self) -> str:
        """The URL without what is secret in it."""
        return without_password(self.url)

    @property
    def celery_url(self) -> str:
        """The same for Celery, which wants one URL per Sentinel; the primary's name is an option there."""
        if self.sentinels is None:
            return self.url
        user, _, _ = urlsplit(self.url).netloc.rpartition("@")
        login = f"{user}@" if user else ""
        return ";".join(
            f"sentinel://{login}{bracketed(host)}:{port}/{self.sentinels.database}"
            for host, port in self.sentinels.hosts
        )


def read_address(url: str) -> Address:
    """Read a URL. Raises ValueError with the rule that it breaks."""
    parts = urlsplit(url)
    if parts.scheme not in (*SERVERS, *SENTINELS):
        raise ValueError(f"the URL of Redis is {FORMS}")
    query = parse_qs(parts.query, keep_blank_values=True)
    if any(name.startswith("ssl") for name in query):
        raise ValueError("TLS is always verified: use rediss:// and redis_ca_file, and leave ssl options out")
    tls = parts.scheme in ("rediss", "sentinels")
    if parts.scheme in SERVERS:
        if "," in parts.netloc.rpartition("@")[2]:
            raise ValueError("several servers need Sentinels before them: sentinel://HOST,HOST/0?master=NAME")
        if parts.port == 0:  # reading it raises for a port that is none
            raise ValueError("port 0 is none: give 1 to 65535, or leave it out for 6379")
        _database(parts)  # what is no number would be database 0 for the record, and an error for Celery
        return Address(url, tls, None)
    return Address(url, tls, _sentinels(parts, query))


def without_password(url: str) -> str:
    """Show a URL without what is secret in it."""
    return re.sub(r"(password=)[^&]*", r"\1…", re.sub(r"//.*@", "//…@", url))


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _sentinels(parts: SplitResult, query: dict[str, list[str]]) -> Sentinels:
    known = {"master", "sentinel_username", "sentinel_password"}
    unknown = sorted(query.keys() - known)
    if unknown:
        raise ValueError(f'"{unknown[0]}" is no option of a Sentinel URL: {", ".join(sorted(known))} are')
    given = {name: values[-1] for name, values in query.items() if values[-1]}
    if "master" not in given:
        raise ValueError("a Sentinel URL names the primary that they watch: …?master=NAME")
    user, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    return Sentinels(
        hosts=tuple(_host(each) for each in hosts.split(",")),
        master=given["master"],
        database=_database(parts),
        login=Login(unquote(username) or None, unquote(password) or None),
        own_login=Login(given.get("sentinel_username"), given.get("sentinel_password")),
    )


def _database(parts: SplitResult) -> int:
    database = parts.path.strip("/") or "0"
    if not (database.isascii() and database.isdecimal()):
        raise ValueError(f'"{database}" is not the number of a database')
    return int(database)


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL names each Sentinel: sentinel://HOST:PORT,HOST:PORT/0?master=NAME")
    return parts.hostname, parts.port or SENTINEL_PORT
