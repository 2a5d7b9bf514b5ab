"""A host's base URL in its one canonical form."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show

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
