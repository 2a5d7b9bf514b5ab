"""Three instances of each server, for all tests of the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kinds import servers
from tests.kinds.servers import Server

INSTANCES = 3


def instances(of: Callable[[Path, int], list[Server]]) -> object:
    """Make the fixture that is named like the server."""

    @pytest.fixture(scope="session", name=of.__name__)
    def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
        with servers.running(of(tmp_path_factory.mktemp(of.__name__), INSTANCES)) as running:
            yield running

    return found


rabbitmq, powerdns = instances(servers.rabbitmq), instances(servers.powerdns)
etcd, influxdb = instances(servers.etcd), instances(servers.influxdb)
