"""Real servers on loopback, each with a folder and bounded memory, ended by process group."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from lockstep.producer.stack.ports import free_port
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.hosts.curl import exchange
from lockstep.worker.operation.host import Auth, Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.waits import PATIENCE, eventually

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not what stands on PATH: that one wants to become another user."""
PDNS_SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
STARTS_WITHIN = 90.0
LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"
KEY = "lockstep-test-key"
LOGIN = "guest:guest"


@dataclass(slots=True)
class Server:
    """One instance; started again, it has what it had."""

    name: str
    command: list[str]
    port: int
    directory: Path
    ready: str
    """A path that answers below 500 once it serves."""
    environment: Mapping[str, str] = field(default_factory=dict)
    auth: Auth | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    basic: tuple[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> Host:
        return Host(HostName(self.name), self.url, auth=self.auth)

    @property
    def running(self) -> bool:
        return self.process is not None

    def client(self) -> HostClient:
        """What a worker reaches it with."""
        return HostClient(self.host, Settings(), exchange)

    def start(self) -> None:
        log = (self.directory / "log").open("ab")
        own = {**os.environ, **self.environment, "HOME": str(self.directory)}
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, env=own, stdout=log, stderr=log, start_new_session=True
        )

    def wait(self) -> Server:
        eventually(self._serves, f"{self.name} serves: see {self.directory}/log", STARTS_WITHIN, latest=0.25)
        return self

    def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text(errors="replace")[-2000:]
        with contextlib.suppress(requests.RequestException):
            return self.ask("GET", self.ready).status_code < 300
        return False

    def ask(self, method: str, path: str, **given: object) -> requests.Response:
        """Ask the server as its administrator does."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                self.url + path,
                headers=dict(self.headers),
                auth=self.basic,
                timeout=PATIENCE,
                **given,  # type: ignore[arg-type]
            )

    def stop(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def found(command: str, package: str) -> str:
    path = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        pytest.skip(f"no {command} here; Debian has it: apt-get install {package}")
    return path


def _own(directory: Path, name: str, text: str = "") -> Path:
    folder = directory / name
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(text)
    return folder


def rabbitmq(directory: Path, count: int) -> list[Server]:
    if not RABBITMQ.exists():
        pytest.skip("no rabbitmq-server here; Debian has it: apt-get install rabbitmq-server")
    ports = free_ports(2 + 3 * count)
    made = []
    for place in range(count):
        name = f"rabbitmq{place + 1}"
        folder = _own(directory, name, LOGIN)
        amqp, web, dist = ports[2 + 3 * place : 5 + 3 * place]
        (folder / "enabled_plugins").write_text("[rabbitmq_management_agent, rabbitmq_management].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {web}\n"
            "vm_memory_high_watermark.absolute = 192MiB\nlog.console = true\nlog.console.level = warning\n"
            "management.disable_stats = true\n"
        )
        environment = {
            "RABBITMQ_NODENAME": f"{name}-{web}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "schema"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 1:1 +sbwt none {LOOPBACK_ONLY}",
            "ERL_EPMD_PORT": str(ports[0]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        made.append(
            Server(
                name,
                [str(RABBITMQ)],
                web,
                folder,
                "/api/whoami",
                environment,
                Auth(str(folder / "credentials"), basic=True),
                basic=("guest", "guest"),
            )
        )
    folder = _own(directory, "epmd")
    epmd = Server(
        "epmd",
        [found("epmd", "erlang-base"), "-address", "127.0.0.1", "-port", str(ports[0])],
        ports[0],
        folder,
        "",
    )
    epmd.start()
    return [*made, epmd]


def powerdns(directory: Path, count: int) -> list[Server]:
    command = found("pdns_server", "pdns-server")
    if not PDNS_SCHEMA.exists():
        pytest.skip("no backend of pdns_server here; Debian has one: apt-get install pdns-backend-sqlite3")
    ports, made = free_ports(2 * count), []
    for place in range(count):
        name = f"powerdns{place + 1}"
        folder = _own(directory, name, KEY)
        with contextlib.closing(sqlite3.connect(folder / "zones.sqlite3")) as database:
            database.executescript(PDNS_SCHEMA.read_text())
        dns, web = ports[2 * place : 2 * place + 2]
        options = {
            "config-dir": folder,
            "socket-dir": folder,
            "launch": "gsqlite3",
            "gsqlite3-database": folder / "zones.sqlite3",
            "local-address": "127.0.0.1",
            "local-port": dns,
            "api": "yes",
            "api-key": KEY,
            "webserver": "yes",
            "webserver-address": "127.0.0.1",
            "webserver-port": web,
            "webserver-allow-from": "127.0.0.1",
            "guardian": "no",
            "daemon": "no",
            "receiver-threads": 1,
            "distributor-threads": 1,
            "security-poll-suffix": "",
            "default-ttl": 3600,
        }
        made.append(
            Server(
                name,
                [command, *(f"--{key}={value}" for key, value in options.items())],
                web,
                folder,
                "/api/v1/servers/localhost",
                auth=Auth(str(folder / "credentials"), "X-API-Key"),
                headers={"X-API-Key": KEY},
            )
        )
    return made


def etcd(directory: Path, count: int) -> list[Server]:
    command, ports, made = found("etcd", "etcd-server"), free_ports(2 * count), []
    for place in range(count):
        name = f"etcd{place + 1}"
        client, peer = (f"http://127.0.0.1:{port}" for port in ports[2 * place : 2 * place + 2])
        arguments = [
            f"--name={name}",
            "--data-dir=data",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={name}={peer}",
            "--log-level=error",
            "--quota-backend-bytes=67108864",
        ]
        made.append(
            Server(
                name,
                [command, *arguments],
                ports[2 * place],
                _own(directory, name),
                "/version",
                {"GOMAXPROCS": "1"},
            )
        )
    return made


def influxdb(directory: Path, count: int) -> list[Server]:
    command, ports, made = found("influxd", "influxdb"), free_ports(2 * count), []
    for place in range(count):
        name = f"influxdb{place + 1}"
        folder = _own(directory, name)
        web, backup = ports[2 * place : 2 * place + 2]
        (folder / "influxdb.conf").write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{backup}"\n'
            f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
            'cache-max-memory-size = "32m"\n[monitor]\nstore-enabled = false\n'
            f'[http]\nbind-address = "127.0.0.1:{web}"\nlog-enabled = false\n'
        )
        made.append(
            Server(
                name,
                [command, "run", "-config", str(folder / "influxdb.conf")],
                web,
                folder,
                "/ping",
                {"GOMAXPROCS": "1"},
            )
        )
    return made


@contextlib.contextmanager
def running(made: list[Server]) -> Iterator[list[Server]]:
    """Start them all at once, and stop them all at the end; those without a path to ask are helpers."""
    try:
        for server in made:
            if server.process is None:
                server.start()
        yield [server.wait() for server in made if server.ready]
    finally:
        for server in made:
            server.stop()
