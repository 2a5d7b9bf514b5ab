"""The Compose file, as Compose itself reads it: durable, scalable, the same commands as in the manifests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lockstep.worker.celery import configuration
from lockstep.worker.inventory import load_inventory
from lockstep.worker.settings import PREFIX, SECRETS, Settings, load_settings
from tests.ship.rendered import LOCAL, ROOT, render
from tests.waits import PATIENCE

COMPOSE = Path(sys.executable).with_name("docker-compose")
OURS = {
    "worker": "worker-operations",
    "rollback": "worker-rollback",
    "beat": "beat",
    "flower": "flower",
    "mock-cluster": "mock-cluster",
}
"""Services that run our image, and what the manifests call them."""
LOGINS = {
    **dict.fromkeys(("worker", "rollback", "beat"), "worker"),
    "flower": "monitor",
    "command": "producer",
}
"""Who logs in to Redis, and as whom."""
ADMINISTRATION = ("admin", "redis-users.acl")
"""What Redis itself is given."""

Service = dict[str, Any]


def read(*profiles: str, **variables: str) -> dict[str, Service]:
    """Return the services that Compose would start. Raises CalledProcessError for what it refuses."""
    chosen = [part for name in profiles for part in ("--profile", name)]
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((PREFIX, "FLOWER_", "COMPOSE_"))
    }
    given = variables or {"FLOWER_BASIC_AUTH": "me:secret"}
    done = subprocess.run(
        [COMPOSE, "--file", ROOT / "docker-compose.yml", *chosen, "config", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        env={**clean, **given},
        timeout=PATIENCE,
    )
    assert not done.stderr, done.stderr
    services: dict[str, Service] = json.loads(done.stdout)["services"]
    return services


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return read("mock", "command")


def test_the_mock_cluster_is_behind_a_profile(services: dict[str, Service]) -> None:
    assert set(services) == {"redis", "command", *OURS}
    assert set(services) - set(read()) == {"mock-cluster", "command"}


def test_every_role_runs_the_command_that_it_runs_in_kubernetes(services: dict[str, Service]) -> None:
    manifests = render(LOCAL)
    for name, component in OURS.items():
        assert services[name]["command"] == manifests.component(component).containers[0]["command"], name
    assert services["redis"]["image"] == manifests.component("redis").containers[0]["image"]


def test_redis_keeps_what_it_acknowledged(services: dict[str, Service]) -> None:
    command = services["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory"] == "512mb", "without a limit the watermark never acts"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory-clients"] == "20%", "else connections fill it"
    (volume,) = services["redis"]["volumes"]
    assert (volume["type"], volume["target"]) == ("volume", options["--dir"])
    assert "ports" not in services["redis"]


def test_nothing_starts_before_redis_answers(services: dict[str, Service]) -> None:
    assert services["redis"]["healthcheck"]["test"]
    for name in set(OURS) - {"mock-cluster"}:
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy", name


def test_beat_is_asked_as_in_kubernetes(services: dict[str, Service]) -> None:
    (container,) = render(LOCAL).component("beat").containers
    assert services["beat"]["healthcheck"]["test"] == ["CMD", *container["livenessProbe"]["exec"]["command"]]


def test_workers_are_asked_by_the_check_of_the_image(services: dict[str, Service]) -> None:
    """That is Kubernetes' own, which fails where a worker stands still: see the Dockerfile's tests."""
    for name in ("worker", "rollback"):
        assert not services[name].get("healthcheck")
        assert not services[name].get("entrypoint"), (
            "the worker is the first process, with whose end all ends"
        )


def test_every_service_comes_back_by_itself(services: dict[str, Service]) -> None:
    """Compose restarts what ended, with whatever status, and never what is unhealthy: workers that stand
    still end themselves."""
    assert {each["restart"] for name, each in services.items() if name != "command"} == {"unless-stopped"}


def test_workers_are_given_long_enough_to_end_the_call_they_are_in(services: dict[str, Service]) -> None:
    settings = Settings()
    soft = configuration(settings)["worker_soft_shutdown_timeout"]
    for name in ("worker", "rollback"):
        given = services[name]["stop_grace_period"]
        assert given.endswith("s")
        assert _seconds(given) >= settings.call_timeout + soft + 2 * settings.redis_timeout


def _seconds(text: str) -> int:
    minutes, _, seconds = text.removesuffix("s").rpartition("m")
    return 60 * int(minutes or 0) + int(seconds)


def test_workers_can_be_scaled(services: dict[str, Service]) -> None:
    worker = services["worker"]
    assert not {"container_name", "hostname", "ports"} & set(worker)
    assert "network_mode" not in worker
    assert "operations@%h" in worker["command"]


def test_containers_are_locked_down(services: dict[str, Service]) -> None:
    for name, each in services.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
    for name in OURS:
        assert [mount.partition(":")[0] for mount in services[name]["tmpfs"]] == ["/tmp"], name


def test_ports_are_open_on_this_machine_only(services: dict[str, Service]) -> None:
    for name, each in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in each.get("ports", [])), name


def test_flower_is_not_started_without_a_password(services: dict[str, Service]) -> None:
    assert services["flower"]["environment"]["FLOWER_BASIC_AUTH"] == "me:secret"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        read(FLOWER_BASIC_AUTH="")
    assert "set it to NAME:PASSWORD" in caught.value.stderr
    others = [each for name, each in services.items() if name != "flower"]
    assert not any("FLOWER_BASIC_AUTH" in each.get("environment", {}) for each in others)


def test_flower_only_looks(services: dict[str, Service]) -> None:
    given = set(services["flower"]["environment"])
    assert not given & {"FLOWER_READ_ONLY", "FLOWER_CONF", "LOCKSTEP_REMOTE_CONTROL"}


def test_flower_remembers_on_a_volume_of_its_own(services: dict[str, Service]) -> None:
    path = Path(services["flower"]["environment"]["FLOWER_DB"])
    (volume,) = (each for each in services["flower"]["volumes"] if each["type"] == "volume")
    assert volume["target"] == str(path.parent)
    for name, each in services.items():
        if name != "flower":
            assert volume["source"] not in {other["source"] for other in each.get("volumes", [])}, name


def test_settings_are_those_of_kubernetes(services: dict[str, Service]) -> None:
    manifests = render(LOCAL).settings()
    for name in set(OURS) - {"mock-cluster"}:
        ours = {key: value for key, value in services[name]["environment"].items() if key.startswith(PREFIX)}
        assert ours == manifests, name


def test_each_role_has_a_login_of_its_own_from_a_secret(services: dict[str, Service]) -> None:
    for name, each in services.items():
        mounted = {secret["target"]: secret["source"] for secret in each.get("secrets") or ()}
        url = {"lockstep_redis_url": LOGINS[name]} if name in LOGINS else {}
        assert mounted == ({f"{SECRETS}/{file}": file for file in ADMINISTRATION} if name == "redis" else url)
    command = services["redis"]["command"]
    assert command[command.index("--aclfile") + 1] == f"{SECRETS}/redis-users.acl"


def test_settings_and_inventory_are_accepted(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = services["worker"]
    mounted = {volume["target"]: volume["source"] for volume in worker["volumes"]}
    for name, value in worker["environment"].items():
        monkeypatch.setenv(name, mounted.get(value, value))
    nodes = [host.url for host in load_inventory(load_settings())]
    assert nodes == [f"http://mock-cluster:{port}" for port in range(5001, 5006)]
