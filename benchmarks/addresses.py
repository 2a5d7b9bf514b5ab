"""Where the mock hosts are: each has a loopback address of its own, as hosts of a cluster do."""

from __future__ import annotations

from collections.abc import Sequence

PER_BLOCK = 250
"""Addresses used of each 127.x.y.0/24."""
FIRST_BLOCK = 10


def address(host: int) -> str:
    """Return the loopback address of a host, 127.10.0.1 for the first."""
    block, last = divmod(host, PER_BLOCK)
    second, third = divmod(block, PER_BLOCK)
    return f"127.{FIRST_BLOCK + second}.{third}.{last + 1}"


def number(address: str) -> int:
    """Return which host has an address."""
    second, third, last = (int(part) for part in address.split(".")[1:])
    return ((second - FIRST_BLOCK) * PER_BLOCK + third) * PER_BLOCK + last - 1


def urls(hosts: int, port: int) -> list[str]:
    """Return the base URLs of so many hosts."""
    return [f"http://{address(host)}:{port}" for host in range(hosts)]


def name_of(url: str) -> str:
    """Return the name that a host has in an inventory: its address."""
    return url.removeprefix("http://").partition(":")[0]


def inventory(hosts: Sequence[str]) -> str:
    """Return Lockstep's inventory of these hosts, as YAML."""
    return "hosts:\n" + "".join(f"  - name: {name_of(url)}\n    url: {url}\n" for url in hosts)
