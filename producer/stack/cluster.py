"""The mock cluster as a child: unstable nodes on real ports, and an admin API to break them with."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lockstep.producer.stack.child import Child, free_port
from lockstep.producer.stack.guard import Guard


class MockCluster(Child):
    """Nodes node1 to nodeN. Its ports survive a restart, its groups do not."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 5,
        *,
        first_port: int = 0,
        seed: int = 0,
        guard: Guard | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a cluster on consecutive ports, the admin API last; free ones for 0 or a taken port."""
        self.nodes: dict[str, str] = {}
        """Node name -> base URL, once it has started."""
        self.admin_url = ""
        self._seed = seed
        wished = [first_port + offset if first_port else 0 for offset in range(nodes + 1)]
        ports = wished if all(free_port(port) == port for port in wished if port) else [0] * (nodes + 1)
        super().__init__("cluster", self._arguments(ports), directory=directory, guard=guard, env=env)

    def ready(self) -> bool:
        """Tell whether it has printed its addresses; remembers them."""
        for line in self.output().splitlines():
            if line.startswith('{"ready"'):
                addresses = json.loads(line)
                self.nodes = {str(name): str(url) for name, url in addresses["nodes"].items()}
                self.admin_url = str(addresses["admin"])
                urls = [*self.nodes.values(), self.admin_url]
                self.command = self._arguments([int(url.rpartition(":")[2]) for url in urls])
                return True
        return False

    def _arguments(self, ports: Sequence[int]) -> list[str]:
        *nodes, admin = map(str, ports)
        addresses = ["--ports", ",".join(nodes), "--admin-port", admin]
        return [sys.executable, "-m", "lockstep.mock_api", *addresses, "--seed", str(self._seed)]
