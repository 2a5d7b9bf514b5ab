"""Which hosts there are, read from a file or a variable."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import ALL_HOSTS, LIMITS, UNLIMITED, Auth, Host, WriteLimit, parse_url
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.names import MAX_LENGTH, is_plain_name, show
from lockstep.worker.operation.waves import AT_ONCE, Pace, parse_health
from lockstep.worker.settings import Settings


class Inventory:
    """All hosts, by name, in the order in which they were given."""

    def __init__(
        self,
        hosts: Iterable[Host],
        pace: Pace = AT_ONCE,
        kinds: str = "",
        together: WriteLimit = UNLIMITED,
    ) -> None:
        self._together = together
        self.pace = pace
        """How operations go from host to host unless they are asked otherwise."""
        self.kinds = kinds
        """The folder with the kinds of whoever runs it; empty if there is none."""
        self._hosts: dict[HostName, Host] = {}
        urls: dict[str, HostName] = {}
        names: dict[str, HostName] = {}
        for host in hosts:
            twin = names.setdefault(host.name.casefold(), host.name)
            if host.name in self._hosts or twin != host.name:
                raise InvalidInput(
                    f"host name {show(host.name)} stands twice in the inventory: names are unique"
                )
            if (other := urls.setdefault(host.url, host.name)) != host.name:
                raise InvalidInput(
                    f"url {show(host.url)} of host {show(host.name)} is that of {show(other)} too"
                )
            self._hosts[host.name] = host
        if not self._hosts:
            raise InvalidInput("the inventory is empty: set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY")

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def digest(self) -> str:
        """Twelve characters that two inventories share only if they have the same hosts, URLs and limits."""
        limits = sorted((name, limit.kept()) for name, limit in self.limits().items())
        known = [*sorted((host.name, host.url) for host in self), *limits]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]

    def limits(self, hosts: Iterable[Host] | None = None) -> dict[str, WriteLimit]:
        """Return the limits of these hosts, or of all, that all workers share; `*` for all together."""
        found: dict[str, WriteLimit] = {ALL_HOSTS: self._together}
        found.update((host.name, host.limit) for host in (self if hosts is None else hosts))
        return {name: limit for name, limit in found.items() if limit}

    def find(self, name: HostName) -> Host | None:
        """Return a host by its name, or None."""
        return self._hosts.get(name)

    def select(self, names: Iterable[object] | None) -> tuple[Host, ...]:
        """Return the named hosts, all for None; raise InvalidInput for an unknown name or an empty list."""
        if names is None:
            return tuple(self)
        if isinstance(names, str):
            raise InvalidInput(f"hosts {show(names)} is a string: give a list of host names")
        chosen: dict[HostName, Host] = {}
        for name in names:
            host = self._hosts.get(cast(HostName, name)) if isinstance(name, str) else None
            if host is None:
                raise InvalidInput(f"host {show(name)} is not in the inventory; known: {self._known()}")
            chosen[host.name] = host
        if not chosen:
            raise InvalidInput("the list of hosts is empty: name at least one, or leave it out for all")
        return tuple(chosen.values())

    def _known(self, most: int = 10) -> str:
        names = list(self._hosts)
        more = f", … ({len(names)} in all)" if len(names) > most else ""
        return ", ".join(names[:most]) + more


_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?", re.ASCII)
FILES = ("ca_file", "cert_file", "key_file", "token_file")
KNOWN_KEYS = (
    "name",
    "url",
    "verify",
    *FILES,
    "server_name",
    "shows_after",
    "labels",
    "health",
    "auth",
    "serves",
    *LIMITS,
)
DEFAULTS = ("waves", "wave_by", "bake", "hold", "expires", "health", *LIMITS)
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9._*-]{1,63}", re.ASCII)
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


def load_inventory(settings: Settings) -> Inventory:
    """Read the hosts that the settings name; raise InvalidInput naming the offending value."""
    together = WriteLimit(settings.max_writes_at_once, settings.writes_per_second)
    if settings.inventory:
        known = Inventory(*_from_file(Path(settings.inventory)), together)
        for host in known:
            if host.shows_after > settings.settle_seconds:
                raise InvalidInput(
                    f"host {show(host.name)} has shows_after {host.shows_after:g}: it must not exceed "
                    f"LOCKSTEP_SETTLE_SECONDS, {settings.settle_seconds:g}"
                )
        return known
    urls = _from_urls(settings.hosts, settings.hosts_ca_file or True)
    return Inventory(urls, together=together)


def _from_urls(text: str, verify: str | bool) -> Iterator[Host]:
    given = text.split(",") if text else []
    if not all(part.strip() for part in given):
        raise InvalidInput(f"LOCKSTEP_HOSTS={show(text)} has an empty element: drop the extra comma")
    urls = [parse_url(part.strip()) for part in given]
    for url, count in Counter(urls).items():
        if count > 1:
            raise InvalidInput(f"url {show(url)} stands twice in LOCKSTEP_HOSTS: name each host once")
    forms = [_names(url) for url in urls]
    seen = Counter(name for names in forms for name in set(names))
    for url, names in zip(urls, forms, strict=True):
        yield Host(HostName(next((name for name in names if seen[name] == 1), names[-1])), url, verify)


def _names(url: str) -> tuple[str, str, str]:
    """Return what a host may be called after its URL: the first counts that no other host may be called."""
    parts = urlsplit(url)
    host = (parts.hostname or "").replace(":", "-")
    if host.startswith("-"):  # a name is no option of a command
        host = "ip6-localhost" if host == "--1" else f"ip6{host}"
    path = NOT_PLAIN.sub("-", parts.path)
    return host, f"{host}-{parts.port}", f"{host}-{parts.port}{path}"


def _from_file(path: Path) -> tuple[Iterator[Host], Pace, str]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"inventory {show(str(path))} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"inventory {show(str(path))} is no UTF-8 text: {error.reason}") from error
    from lockstep.worker.plainyaml import parse_plain  # whoever names hosts by LOCKSTEP_HOSTS needs no YAML

    document = parse_plain(f"inventory {show(str(path))}", text)
    given = document if isinstance(document, dict) else {"hosts": document}
    entries = given.get("hosts")
    if unknown := set(given) - {"hosts", "defaults", "kinds"}:
        first = show(sorted(map(str, unknown))[0])
        raise InvalidInput(f"inventory key {first} is unknown; known: hosts, defaults, kinds")
    if not isinstance(entries, list):
        raise InvalidInput(
            f"inventory {show(str(path))} has no list of hosts: start it with `hosts:` and one `- name:` each"
        )
    if not entries:
        raise InvalidInput(f"inventory {show(str(path))} has an empty list of hosts: give at least one")
    defaults, kinds = given.get("defaults"), given.get("kinds", "")
    if not isinstance(kinds, str):
        raise InvalidInput(f"inventory has kinds {show(kinds)}: give the path of a folder")
    folder, pace = str(path.parent / kinds) if kinds else "", _pace(defaults)
    limit = WriteLimit.read("inventory defaults:", defaults if isinstance(defaults, dict) else {})
    hosts = (_from_entry(number, entry) for number, entry in enumerate(entries, 1))
    return (replace(host, limit=host.limit.over(limit)) for host in hosts), pace, folder


def _pace(given: object) -> Pace:
    """Return how operations go from host to host, from the inventory's `defaults`."""
    if given is None:
        return AT_ONCE
    if not isinstance(given, dict) or (unknown := [key for key in given if key not in DEFAULTS]):
        wrong = f"the unknown key {show(unknown[0])}" if isinstance(given, dict) else f"{show(given)}"
        raise InvalidInput(f"inventory defaults: {wrong}; give a mapping of {', '.join(DEFAULTS)}")
    for name, kinds, rule in (
        ("wave_by", str, "a label"),
        ("hold", bool, "true or false"),
        ("waves", (str, int), "sizes such as 1,10%,100%"),
    ):
        if name in given and not isinstance(given[name], kinds):
            raise InvalidInput(f"inventory defaults: {name} {show(given[name])}: give {rule}")
    parse_health("inventory defaults", given.get("health"))
    waves = given.get("waves")
    asked = {key: value for key, value in given.items() if key not in LIMITS}
    pace = Pace(**{**asked, "waves": None if waves is None else str(waves)})
    try:
        return pace.check()
    except InvalidInput as error:
        raise InvalidInput(f"inventory defaults: {error}") from error


def _from_entry(number: int, entry: object) -> Host:
    if not isinstance(entry, dict):
        raise InvalidInput(f"inventory entry {number} ({show(entry)}) is not a mapping: give name and url")
    for key in entry:
        if key not in KNOWN_KEYS:
            raise InvalidInput(
                f"inventory entry {number} has the unknown key {show(key)}; known: {', '.join(KNOWN_KEYS)}"
            )
    name = entry.get("name")
    if not isinstance(name, str) or not is_plain_name(name):
        raise InvalidInput(
            f"inventory entry {number} has the name {show(name)}: "
            f"give 1 to {MAX_LENGTH} characters of A-Z a-z 0-9 . _ -"
        )
    verify, ca_file = entry.get("verify", True), entry.get("ca_file")
    token_file, labels = entry.get("token_file"), entry.get("labels", {})
    cert_file, key_file = entry.get("cert_file"), entry.get("key_file")
    if not isinstance(verify, bool):
        raise InvalidInput(f"host {show(name)} has verify {show(verify)}: it must be true or false")
    for key in FILES:
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"host {show(name)} has {key} {show(value)}: it must be a path")
    if ca_file and not verify:
        raise InvalidInput(f"host {show(name)} has a ca_file and verify false: choose one")
    if key_file and not cert_file:
        raise InvalidInput(f"host {show(name)} has a key_file and no cert_file: give both, or neither")
    if not isinstance(labels, dict) or not all(
        isinstance(part, str) for pair in labels.items() for part in pair
    ):
        raise InvalidInput(
            f"host {show(name)} has labels {show(labels)}: give a mapping of strings (quote numbers)"
        )
    shows_after = _seconds(name, entry.get("shows_after"))
    url = parse_url(entry.get("url"))
    server_name = entry.get("server_name")
    if server_name is not None and not (isinstance(server_name, str) and is_plain_name(server_name)):
        raise InvalidInput(
            f"host {show(name)} has server_name {show(server_name)}: give a name as in its certificate"
        )
    if server_name and not url.startswith("https:"):
        raise InvalidInput(f"host {show(name)} has a server_name and no https URL: only TLS asks for one")
    cert = (cert_file, key_file or cert_file) if cert_file else None  # one file may hold both
    health = parse_health(f"host {show(name)}", entry.get("health"))
    access = cert, server_name, _auth(name, entry), _serves(name, entry.get("serves", ["*"]))
    limit = WriteLimit.read(f"host {show(name)} has", entry)
    return Host(
        HostName(name), url, ca_file or verify, token_file, shows_after, dict(labels), health, *access, limit
    )


def _auth(name: str, entry: dict[object, object]) -> Auth | None:
    """Return how to log in: `{basic: FILE}`, or `{header: NAME, file: FILE}`."""
    given = entry.get("auth")
    if given is None:
        return None
    if entry.get("token_file"):
        raise InvalidInput(f"host {show(name)} has an auth and a token_file: choose one")
    match given:
        case {"basic": str(file), **more} if not more:
            return Auth(file, basic=True)
        case {"header": str(header), "file": str(file), **more} if not more and _HEADER.fullmatch(header):
            return Auth(file, header)
    raise InvalidInput(
        f"host {show(name)} has auth {show(given)}: give {{basic: FILE}} with user:password in it, "
        "or {header: NAME, file: FILE}"
    )


def _serves(name: str, given: object) -> tuple[str, ...]:
    if isinstance(given, list) and given and all(_PATTERN.fullmatch(str(each)) for each in given):
        return tuple(map(str, given))
    raise InvalidInput(f"host {show(name)} has serves {show(given)}: give kinds, such as [rabbitmq-*]")


def _seconds(name: str, value: object) -> float:
    """Return `5s`, or a number of seconds, as seconds; 0 where nothing is given."""
    if value is None:
        return 0.0
    text = str(value).removesuffix("s").strip()
    found = float(text) if not isinstance(value, bool) and _NUMBER.fullmatch(text) else 0.0
    if found <= 0:
        raise InvalidInput(f"host {show(name)} has shows_after {show(value)}: give seconds, such as 5s")
    return found
