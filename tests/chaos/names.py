"""What the names of nodes lead to, for the workers alone: a hosts file of their own, which a run rewrites."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lockstep.producer.stack.ports import LOOPBACK

DOMAIN = "nodes.test"
ELSEWHERE = "127.99.99.99"
"""Nobody listens there."""
MOUNTED = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'


class Names:
    """The names of nodes, as processes see them whose command begins with `within`."""

    def __init__(self, directory: Path, nodes: list[str]) -> None:
        self._file, self._nodes = directory / "hosts", nodes
        order = directory / "nsswitch.conf"
        order.write_text("hosts: files\n", "utf-8")
        self.lead(LOOPBACK)
        self.within = ["unshare", "--mount", "sh", "-c", MOUNTED, str(self._file), str(order)]
        try:
            tried = subprocess.run([*self.within, "true"], check=False, capture_output=True).returncode
        except OSError:
            tried = 1
        if tried != 0:  # not as root, or in a container: nodes are called by address
            self.within = []

    def of(self, node: str) -> str:
        """Return what a node is called."""
        return f"{node}.{DOMAIN}" if self.within else LOOPBACK

    def lead(self, address: str | None) -> None:
        """Have every name lead to an address, or to none, from the next look-up on."""
        lines = [f"{address} {node}.{DOMAIN}" for node in self._nodes if address]
        self._file.write_text("\n".join([f"{LOOPBACK} localhost", *lines, ""]), "utf-8")
