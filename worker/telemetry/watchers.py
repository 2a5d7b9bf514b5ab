"""Who may look at Flower: it shows groups, hosts and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

OPEN = "FLOWER_UNAUTHENTICATED_API"


def refusal(
    address: str, unix_socket: str, credentials: Sequence[str], environment: Mapping[str, str]
) -> str | None:
    """Say why Flower must not start: it would listen beyond this machine and ask for no password."""
    if any(credentials) or unix_socket or _loopback(address):
        return None
    if environment.get(OPEN, "").lower() in ("1", "true", "yes", "on"):
        return None
    return (
        f"Flower does not start: it would listen on {address or 'every address'} and ask for no password. "
        f"Set FLOWER_BASIC_AUTH=name:password from a secret, or --address=127.0.0.1; where something else "
        f"keeps strangers out, {OPEN}=true."
    )


def _loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
