"""Where Redis is: one URL, read here and nowhere else; the record, Celery and Flower get what was read.

`redis://` and `rediss://` name a server; `sentinel://` and `sentinels://` name Sentinels, which know which
server is the primary just now. The second of each speaks TLS.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from lockstep.worker.process.secrets import Secret

SERVERS, SENTINELS = ("redis", "rediss"), ("sentinel", "sentinels")
PORT = 6379
SENTINEL_PORT = 26379
FORMS = "redis://HOST:PORT/0, rediss://… or sentinel://HOST:PORT,HOST:PORT/0?master=NAME"
ENCODE = (
    "in a user name or password, percent-encode each of # / ? [ ] and % (as %23 %2F %3F %5B %5D and %25), "
    "or give them as they are by LOCKSTEP_REDIS_USERNAME and LOCKSTEP_REDIS_PASSWORD"
)
SERVER_OPTIONS = frozenset({"db"})
SENTINEL_OPTIONS = frozenset({"db", "master", "sentinel_username", "sentinel_password"})
_OPTION = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password; None for what is not given."""

    username: str | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class Address:
    scheme: str
    hosts: tuple[tuple[str, int], ...]
    """The one server, or the Sentinels."""
    database: int
    login: Login
    """For the server."""
    master: str | None
    """The name of the primary that Sentinels watch over; None for one server that is named."""
    sentinel_login: Login
    """For the Sentinels themselves, which know other users than the servers do."""

    @property
    def tls(self) -> bool:
        return self.scheme in ("rediss", "sentinels")

    @property
    def shown(self) -> str:
        """The URL without what is secret in it."""
        login = "…@" if self.login != Login() else ""
        hosts = ",".join(f"{bracketed(host)}:{port}" for host, port in self.hosts)
        master = f"?master={self.master}" if self.master else ""
        return f"{self.scheme}://{login}{hosts}/{self.database}{master}"

    @property
    def celery_url(self) -> str:
        """The same for Celery, which wants one URL per Sentinel; the primary's name is an option there."""
        scheme = "sentinel" if self.master else self.scheme  # it learns of TLS otherwise
        password = self.login.password.reveal() if self.login.password else ""
        name, password = quote(self.login.username or "", safe=""), quote(password, safe="")
        login = f"{name}:{password}@" if name or password else ""
        return ";".join(
            f"{scheme}://{login}{bracketed(host)}:{port}/{self.database}" for host, port in self.hosts
        )


def read_address(url: str) -> Address:
    """Read a URL. Raises ValueError with the rule that it breaks; no part of a password is in it."""
    scheme, _, rest = url.partition("://")
    if scheme not in (*SERVERS, *SENTINELS):
        raise ValueError(f"the URL of Redis is {FORMS}")
    parts = _split(url, rest)
    query = parse_qs(parts.query, keep_blank_values=True)
    watched = scheme in SENTINELS
    _check_options(parts.query, query, SENTINEL_OPTIONS if watched else SERVER_OPTIONS)
    given = {name: values[-1] for name, values in query.items() if values[-1]}
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    if watched and "master" not in given:
        raise ValueError("a Sentinel URL names the primary that they watch: …?master=NAME")
    if not watched and "," in hosts:
        raise ValueError("several servers need Sentinels before them: sentinel://HOST,HOST/0?master=NAME")
    return Address(
        scheme,
        tuple(_host(each, watched) for each in hosts.split(",")),
        _database(parts.path, given.get("db")),
        Login(unquote(name) or None, _secret(unquote(password))),
        given.get("master"),
        Login(given.get("sentinel_username"), _secret(given.get("sentinel_password"))),
    )


def with_login(address: Address, username: str, password: Secret, file: str) -> Address:
    """Return an address with a login that stands beside its URL: nothing in it is percent-encoded.

    Raises ValueError with the rule that is broken.
    """
    if not (username or password.reveal() or file):
        return address
    if address.login != Login():
        raise ValueError(
            "redis_url has a login already: leave it out there, or redis_username and redis_password"
        )
    if bool(password.reveal()) == bool(file):
        raise ValueError("give redis_password or redis_password_file: with redis_username, and not both")
    return replace(address, login=Login(username or None, password_in(file) if file else password))


def password_in(file: str) -> Secret:
    """Return the password in a file. Raises OSError, and ValueError with the rule that is broken."""
    try:
        password = Secret(Path(file).read_text("utf-8-sig").rstrip("\r\n"))
    except UnicodeDecodeError:
        raise ValueError("what this file holds is not UTF-8 text") from None
    if not password.reveal():
        raise ValueError("this file is empty")
    _files[password.reveal()] = file
    return password


_files: dict[str, str] = {}
"""Password -> the file that it was in, which holds another once it is replaced."""


def password_now(password: str) -> str:
    """Return what the file of a password holds now; the password as it is if it came from none."""
    if file := _files.get(password):
        with contextlib.suppress(OSError, ValueError):  # it is being replaced
            return password_in(file).reveal()
    return password


def without_password(url: str) -> str:
    """Show a URL, be it read or not, without anything that may be part of a password."""
    hosts = r"([\w.-]+|\[[\w:.]+\])(:\d{1,5})?"
    if re.fullmatch(rf"([a-z]+://{hosts}|[\w.-]+:\d{{1,5}})(/-?\d*)?|[a-z]+://[\w.-]+/[\w.-]*", url):
        return url  # there is no place in it for a password
    scheme, mark, rest = re.sub(r"(password=).*", r"\1…", url, flags=re.DOTALL).partition("://")
    if not mark:
        return "…"  # it may be anything, a password included
    _, at, rest = rest.rpartition("@")
    if not re.fullmatch(rf"{hosts}(,{hosts})*(/\d*)?(\?\w+=[\w=&.…-]*)?", rest):
        rest = "…"
    return f"{scheme}://{'…@' if at else ''}{rest}"


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None


def _split(url: str, rest: str) -> SplitResult:
    """Split a URL into its parts. What must be encoded and is not would be read as something else."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, hosts = authority.rpartition("@")
    # An @ behind the authority ends a password that began before it; in a Sentinel's it may stand.
    after = re.sub(r"sentinel_(?:username|password)=[^&#]*", "", rest[len(authority) :])
    if "@" in after or "#" in rest or re.search(r"[\[\]]", user):
        raise ValueError(f"it cannot be read: {ENCODE}")
    if not all(re.fullmatch(r"([^:\[\]]*|\[[^\[\]@]*\])(:\d*)?", each) for each in hosts.split(",")):
        raise ValueError(f"a host or its port cannot be read: give HOST:PORT or [IPV6]:PORT; {ENCODE}")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"it cannot be read: give {FORMS}; {ENCODE}") from None


def _check_options(text: str, query: dict[str, list[str]], known: frozenset[str]) -> None:
    if any(name.startswith("ssl") for name in query):
        raise ValueError("TLS is always verified: use rediss:// and redis_ca_file, and leave ssl options out")
    for name in sorted(query.keys() - known):
        before, mark, _ = text.partition(f"{name}=")
        if not (_OPTION.fullmatch(name) and mark) or "password=" in before:  # the rest of one, perhaps
            raise ValueError(
                f"what follows its ? are no options; known: {', '.join(sorted(known))}; {ENCODE}"
            )
        raise ValueError(
            f'"{name}" is no option of this URL; known: {", ".join(sorted(known))} '
            "(timeouts are LOCKSTEP_REDIS_TIMEOUT and LOCKSTEP_REDIS_CONNECT_TIMEOUT)"
        )


def _database(path: str, option: str | None) -> int:
    named = path.strip("/")
    if named and option is not None and named != option:
        raise ValueError("its path and its db name two databases: give one of them")
    database = named or option or "0"
    # What is no number would be database 0 for the record, and an error for Celery.
    if not re.fullmatch(r"[0-9]{1,6}", database):
        raise ValueError(f"what follows the host is the number of a database, as in redis://HOST/3; {ENCODE}")
    return int(database)


def _host(text: str, watched: bool) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname and watched:
        raise ValueError("a Sentinel URL names each Sentinel: sentinel://HOST:PORT,HOST:PORT/0?master=NAME")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:  # not named: it may be the beginning of a password
        raise ValueError("its port is none: give 1 to 65535, or leave it out for the usual one")
    return parts.hostname or "127.0.0.1", port or (SENTINEL_PORT if watched else PORT)
