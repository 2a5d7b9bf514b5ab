"""Ports of loopback: free ones for those who will listen, and whether somebody does."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterable

from lockstep.producer.discovery import StackError

LOOPBACK = "127.0.0.1"
LISTENING = range(10_240, 32_768)
"""Ports below those that Linux and macOS give to outgoing connections."""
BLOCK = 64
"""Of those ports; a process draws from blocks that are its own."""
_claims: dict[int, socket.socket] = {}
"""By port: a UDP socket on it, to which nothing is sent: it says whose the port is."""
_drawn: dict[int, list[int]] = {}
"""Ports to give away, by the process that claimed them: a forked one has blocks of its own."""


def free_port(preferred: int = 0) -> int:
    """Return a loopback port that is free now: the preferred one, or any that was never returned before.

    It is none that another process returns here while this one lives, and, if any will do, none of those
    that systems give to outgoing connections: either could take it before it is bound.
    """
    if preferred and _claim(preferred) and _is_free(preferred):
        return preferred
    ports = _drawn.setdefault(os.getpid(), [])
    while True:
        try:
            port = ports.pop()
        except IndexError:
            ports.extend(_block())
            continue
        if _is_free(port):
            return port


def _block() -> Iterable[int]:
    """Return the ports of a block that is nobody's, its first one claimed."""
    blocks = LISTENING[::BLOCK]
    for first in random.SystemRandom().sample(blocks, len(blocks)):
        if first not in _claims and _claim(first):
            return range(first, first + BLOCK)
    raise StackError(f"no port of {LOOPBACK} is free")


def _claim(port: int) -> bool:
    if port in _claims:
        return True
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
