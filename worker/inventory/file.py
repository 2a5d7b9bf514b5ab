"""The hosts as a file or a variable names them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import LIMITS, Auth, Host, WriteLimit, parse_url
from lockstep.worker.operation.model import HostName
from lockstep.worker.operation.names import MAX_LENGTH, is_plain_name, show
from lockstep.worker.operation.waves import AT_ONCE, Pace, parse_health
from lockstep.worker.settings import Settings
from lockstep.worker.settings.environment import read_text

_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?", re.ASCII)
FILES = ("ca_file", "cert_file", "key_file", "token_file")
KNOWN_KEYS = (
    *("name", "url", "verify", *FILES, "server_name", "shows_after"),
    *("labels", "health", "auth", "serves", *LIMITS),
)
DEFAULTS = ("waves", "wave_by", "bake", "hold", "expires", "health", *LIMITS)
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9._*-]{1,63}", re.ASCII)
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


def read_hosts(settings: Settings) -> tuple[Iterator[Host], Pace, str, WriteLimit]:
    """Read what an inventory is made of, as the settings name it; InvalidInput names the offending value."""
    together = WriteLimit(settings.max_writes_at_once, settings.writes_per_second)
    if settings.inventory:
        return *_from_file(Path(settings.inventory), settings.settle_seconds), together
    return _from_urls(settings.hosts, settings.hosts_ca_file or True), AT_ONCE, "", together


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


def _from_file(path: Path, longest: float) -> tuple[Iterator[Host], Pace, str]:
    noun = f"inventory {show(str(path))}"
    text = read_text(noun, path)
    from lockstep.worker.settings.plainyaml import parse_plain  # hosts named in LOCKSTEP_HOSTS need no YAML

    document = parse_plain(noun, text)
    given = document if isinstance(document, dict) else {"hosts": document}
    entries = given.get("hosts")
    if unknown := set(given) - {"hosts", "defaults", "kinds"}:
        first = show(sorted(map(str, unknown))[0])
        raise InvalidInput(f"inventory key {first} is unknown; known: hosts, defaults, kinds")
    if not isinstance(entries, list):
        raise InvalidInput(f"{noun} has no list of hosts: start it with `hosts:` and one `- name:` each")
    if not entries:
        raise InvalidInput(f"{noun} has an empty list of hosts: give at least one")
    defaults, kinds = given.get("defaults"), given.get("kinds", "")
    if not isinstance(kinds, str):
        raise InvalidInput(f"inventory has kinds {show(kinds)}: give the path of a folder")
    folder, pace = str(path.parent / kinds) if kinds else "", _pace(defaults)
    limit = WriteLimit.read("inventory defaults:", defaults if isinstance(defaults, dict) else {})
    hosts = (_from_entry(number, entry, longest) for number, entry in enumerate(entries, 1))
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


def _from_entry(number: int, entry: object, longest: float) -> Host:
    if not isinstance(entry, dict):
        raise InvalidInput(f"inventory entry {number} ({show(entry)}) is not a mapping: give name and url")
    if unknown := [show(key) for key in entry if key not in KNOWN_KEYS]:
        known = f"known: {', '.join(KNOWN_KEYS)}"
        raise InvalidInput(f"inventory entry {number} has the unknown key {unknown[0]}; {known}")
    name = entry.get("name")
    if not isinstance(name, str) or not is_plain_name(name):
        raise InvalidInput(
            f"inventory entry {number} has the name {show(name)}: "
            f"give 1 to {MAX_LENGTH} characters of A-Z a-z 0-9 . _ -"
        )
    verify, labels = entry.get("verify", True), entry.get("labels", {})
    ca_file, cert_file, key_file, token_file = map(entry.get, FILES)
    if not isinstance(verify, bool):
        raise _wrong(name, "verify", verify, "it must be true or false")
    for key in FILES:
        if not isinstance(value := entry.get(key), str | None):
            raise _wrong(name, key, value, "it must be a path")
    if ca_file and not verify:
        raise InvalidInput(f"host {show(name)} has a ca_file and verify false: choose one")
    if key_file and not cert_file:
        raise InvalidInput(f"host {show(name)} has a key_file and no cert_file: give both, or neither")
    if not isinstance(labels, dict) or not all(
        isinstance(part, str) for pair in labels.items() for part in pair
    ):
        raise _wrong(name, "labels", labels, "give a mapping of strings (quote numbers)")
    shows_after = _seconds(name, entry.get("shows_after"))
    if shows_after > longest:
        raise InvalidInput(
            f"host {show(name)} has shows_after {shows_after:g}: it must not exceed "
            f"LOCKSTEP_SETTLE_SECONDS, {longest:g}"
        )
    url = parse_url(entry.get("url"))
    server_name = entry.get("server_name")
    if server_name is not None and not (isinstance(server_name, str) and is_plain_name(server_name)):
        raise _wrong(name, "server_name", server_name, "give a name as in its certificate")
    if server_name and not url.startswith("https:"):
        raise InvalidInput(f"host {show(name)} has a server_name and no https URL: only TLS asks for one")
    cert = (cert_file, key_file or cert_file) if cert_file else None  # one file may hold both
    health = parse_health(f"host {show(name)}", entry.get("health"))
    access = cert, server_name, _auth(name, entry), _serves(name, entry.get("serves", ["*"]))
    limit = WriteLimit.read(f"host {show(name)} has", entry)
    return Host(
        HostName(name), url, ca_file or verify, token_file, shows_after, dict(labels), health, *access, limit
    )


def _wrong(name: str, key: str, value: object, rule: str) -> InvalidInput:
    return InvalidInput(f"host {show(name)} has {key} {show(value)}: {rule}")


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
    rule = "give {basic: FILE} with user:password in it, or {header: NAME, file: FILE}"
    raise _wrong(name, "auth", given, rule)


def _serves(name: str, given: object) -> tuple[str, ...]:
    if isinstance(given, list) and given and all(_PATTERN.fullmatch(str(each)) for each in given):
        return tuple(map(str, given))
    raise _wrong(name, "serves", given, "give kinds, such as [rabbitmq-*]")


def _seconds(name: str, value: object) -> float:
    """Return `5s`, or a number of seconds, as seconds; 0 where nothing is given."""
    if value is None:
        return 0.0
    text = str(value).removesuffix("s").strip()
    found = float(text) if _NUMBER.fullmatch(text) else 0.0
    if found <= 0:
        raise _wrong(name, "shows_after", value, "give seconds, such as 5s")
    return found
