"""Three instances of each server, for all tests of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kinds import servers
from tests.kinds.servers import Server

INSTANCES = 3


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with servers.running(servers.rabbitmq(tmp_path_factory.mktemp("rabbitmq"), INSTANCES)) as found:
        yield found


@pytest.fixture(scope="session")
def powerdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with servers.running(servers.powerdns(tmp_path_factory.mktemp("powerdns"), INSTANCES)) as found:
        yield found


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with servers.running(servers.etcd(tmp_path_factory.mktemp("etcd"), INSTANCES)) as found:
        yield found


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with servers.running(servers.influxdb(tmp_path_factory.mktemp("influxdb"), INSTANCES)) as found:
        yield found
