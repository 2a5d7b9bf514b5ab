"""The users of Redis as they are installed: each role has the login of that role, and it works."""

from __future__ import annotations

import socket
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from lockstep.producer.stack.ports import LOOPBACK
from lockstep.worker.settings.redis_url import read_address
from tests.integration.redis_servers.servers import Guarded
from tests.ship.rendered import COMPONENT, LOCAL, ROOT, Object, Rendered, render
from tests.waits import PATIENCE, eventually

RULES = (ROOT / "docs" / "redis-users.acl").read_text("utf-8")
SHIPPED = LOCAL / "secrets"
URLS = ("worker", "producer", "monitor")
OF = {
    "worker-operations": "worker",
    "worker-rollback": "worker",
    "beat": "worker",
    "flower": "monitor",
    "command": "producer",
}
"""Components, and the key of the Secret that has their URL."""


LOGIN = b"AUTH lockstep-monitor MONITOR-PASSWORD\r\n"
QUESTION = b"*2\r\n$7\r\nHGETALL\r\n$10000000\r\n" + bytes(2_000_000)
"""A part of one, whose rest never comes."""


def secret(rendered: Rendered) -> dict[str, str]:
    """Return what the Secret of Redis holds."""
    (found,) = (each for each in rendered.of("Secret") if each.name.startswith("lockstep-redis"))
    return {name: b64decode(value).decode() for name, value in found.body["data"].items()}


@pytest.fixture(scope="module", params=["shipped", "made"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets that come with the manifests, or some that were made."""
    if request.param == "shipped":
        return SHIPPED
    made = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run([ROOT / "manifests" / "secrets.sh", "redis:6379", made], check=True, timeout=PATIENCE)
    return made


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("redis"), folder / "redis-users.acl") as running:
        yield running


def test_the_rules_are_those_that_are_tested() -> None:
    assert (SHIPPED / "redis-users.acl").read_text("utf-8") == RULES
    assert secret(render(LOCAL)) == {path.name: path.read_text("utf-8") for path in SHIPPED.iterdir()}


def test_each_url_lets_its_role_in_and_nobody_else(folder: Path, server: Guarded) -> None:
    for role in URLS:
        address = read_address((folder / role).read_text("utf-8"))
        assert (address.hosts, address.login.username) == ((("redis", 6379),), f"lockstep-{role}")
        password = address.login.password
        assert password is not None
        with redis.Redis(
            port=server.port, username=address.login.username, password=password.reveal()
        ) as client:
            assert client.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.flushall()
        stranger = redis.Redis(port=server.port, password=password.reveal())
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    with redis.Redis(port=server.port, password=(folder / "admin").read_text("utf-8")) as client:
        assert client.acl_whoami() == "default"


def test_who_may_create_no_key_fills_no_memory_by_connections_either(tmp_path: Path) -> None:
    with Guarded(tmp_path, SHIPPED / "redis-users.acl") as server, server.client("admin") as admin:
        admin.config_set("maxmemory", "16mb")
        admin.config_set("maxmemory-clients", render(LOCAL).redis_options()["maxmemory-clients"])
        asking = [socket.create_connection((LOOPBACK, server.port)) for _ in range(16)]
        for each in asking:
            with suppress(OSError):  # the largest are cut off
                each.sendall(LOGIN + QUESTION)
        eventually(lambda: admin.info("stats")["evicted_clients"] > 8, "who asks for most is cut off")
        assert admin.set("lockstep:fence", 1), "others can write"
        for each in asking:
            each.close()


def test_each_pod_has_the_login_of_its_role_alone(rendered: Rendered) -> None:
    for name, role in OF.items():
        for each in rendered.starting_pods():
            if each.labels[COMPONENT] == name:
                _has_the_login_of(each, role)


def _has_the_login_of(pod: Object, role: str) -> None:
    for container in pod.containers:
        keys = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"]["key"]
            for variable in container["env"]
            if variable.get("valueFrom", {})
            .get("secretKeyRef", {})
            .get("name", "")
            .startswith("lockstep-redis")
        }
        assert keys == {"LOCKSTEP_REDIS_URL": role}, pod


def test_flower_only_looks(rendered: Rendered) -> None:
    """Its configuration says so unless a variable does not; none does."""
    (container,) = rendered.component("flower").containers
    assert container["command"][:3] == ["python", "-m", "lockstep.worker.monitoring.flower"]
    assert not any(part.startswith(("--read", "--conf")) for part in container["command"])
    given = {variable["name"] for variable in container["env"]} | set(rendered.settings())
    assert not given & {"FLOWER_READ_ONLY", "FLOWER_CONF", "LOCKSTEP_REMOTE_CONTROL"}


def test_redis_knows_users_and_is_asked_by_its_administrator() -> None:
    redis_ = render(LOCAL).component("redis")
    (container,) = redis_.containers
    path = Path(render(LOCAL).redis_options()["aclfile"])
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == str(path.parent))
    (volume,) = (each for each in redis_.pod["volumes"] if each["name"] == mount["name"])
    assert volume["secret"]["items"] == [{"key": path.name, "path": path.name}]
    assert "requirepass" not in render(LOCAL).redis_options()
    (variable,) = container["env"]
    assert (variable["name"], variable["valueFrom"]["secretKeyRef"]["key"]) == ("REDISCLI_AUTH", "admin")
