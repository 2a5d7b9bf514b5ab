"""Create, set and delete on real servers, by real workers: all hosts, or each as it was."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.settings import Settings
from tests.children import inherited
from tests.integration.worker.harness import ROOT, SHORT
from tests.kinds.servers import Server
from tests.waiting import eventually
from tests.warm import Warm, run

WAIT = 90.0
ZONES = "/api/v1/servers/localhost/zones"


class Rig:
    """Redis, a worker and beat, for hosts that stand in an inventory."""

    def __init__(self, stack: ExitStack, directory: Path, hosts: list[Server], serves: str) -> None:
        self.directory = directory
        (directory / "redis").mkdir()
        redis = stack.enter_context(RedisServer(directory / "redis"))
        lines = []
        for each in hosts:
            how = ""
            if each.auth is not None:
                how = f"basic: {each.auth.file}"
                if not each.auth.basic:
                    how = f"header: {each.auth.header}, file: {each.auth.file}"
                how = f", auth: {{{how}}}"
            lines.append(f"  - {{name: {each.name}, url: '{each.url}', serves: [{serves}]{how}}}\n")
        (directory / "hosts.yaml").write_text("hosts:\n" + "".join(lines))
        (directory / "seal.key").write_bytes(base64.b64encode(os.urandom(32)))
        values = {
            **SHORT,
            "redis_url": redis.url,
            "inventory": str(directory / "hosts.yaml"),
            "seal_key_file": str(directory / "seal.key"),
        }
        self.env = {
            **inherited(),
            "PYTHONPATH": str(ROOT),
            **{f"LOCKSTEP_{key.upper()}": value for key, value in values.items()},
        }
        self.guard = Guard()
        stack.callback(self.guard.close)
        self.worker = self._child(stack, "worker", "-Q", "operations,rollback", "-n", "w@%h", "-l", "INFO")
        self._child(stack, "beat")
        eventually(lambda: " ready." in self.worker.output(), "the worker is ready")
        self.client = stack.enter_context(ClusterClient(Settings(**values)))  # type: ignore[arg-type]

    def _child(self, stack: ExitStack, *arguments: str) -> Child:
        command = [sys.executable, "-m", "celery", "-A", "lockstep", *arguments]
        child = Warm(arguments[0], command, directory=self.directory, guard=self.guard, env=self.env, grace=5)
        stack.callback(child.stop)
        child.launch()
        return child

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("lockstep", *arguments, env=self.env, timeout=WAIT)


@pytest.fixture
def powerdns_rig(tmp_path: Path, powerdns: list[Server]) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack, tmp_path, powerdns, "'powerdns-*'")


@pytest.fixture
def rabbitmq_rig(tmp_path: Path, rabbitmq: list[Server]) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack, tmp_path, rabbitmq, "'rabbitmq-*'")


def accounts(servers: list[Server], zone: str) -> list[str | None]:
    """The account of a zone on each server; None where it is absent."""
    found = [each.ask("GET", f"{ZONES}/{zone}.") for each in servers]
    return [each.json()["account"] if each.status_code == 200 else None for each in found]


def test_zones_are_made_changed_and_deleted_everywhere_or_nowhere(
    powerdns_rig: Rig, powerdns: list[Server]
) -> None:
    rig, zone = powerdns_rig, "powerdns-zone/Verbs.example"
    created = rig.cli("create", zone, "--set", "account=team-a")
    assert created.returncode == 0, created
    assert accounts(powerdns, "verbs.example") == ["team-a"] * 3
    assert rig.client.set(zone, account="team-b").wait(WAIT).committed
    # Each host has content of its own, and gets it back when another host fails.
    for place, server in enumerate(powerdns):
        assert server.ask("PUT", f"{ZONES}/verbs.example.", json={"account": f"own-{place}"}).ok
    powerdns[2].stop()
    undone = rig.client.set(zone, account="team-c", retries=1).wait(WAIT)
    assert not undone.committed
    assert accounts(powerdns[:2], "verbs.example") == ["own-0", "own-1"]
    powerdns[2].start()
    powerdns[2].wait()
    assert accounts(powerdns, "verbs.example") == ["own-0", "own-1", "own-2"]
    # A delete that one host does not take brings the zone back on the others, with its records.
    records = {
        "rrsets": [
            {
                "name": "www.verbs.example.",
                "type": "A",
                "ttl": 60,
                "changetype": "REPLACE",
                "records": [{"content": "192.0.2.9", "disabled": False}],
            }
        ]
    }
    assert all(each.ask("PATCH", f"{ZONES}/verbs.example.", json=records).ok for each in powerdns)
    powerdns[2].stop()
    kept = rig.client.delete(zone, accept_loss=True, retries=1).wait(WAIT)
    assert not kept.committed
    for server in powerdns[:2]:
        assert "192.0.2.9" in server.ask("GET", f"{ZONES}/verbs.example.").text
    powerdns[2].start()
    powerdns[2].wait()
    record = "powerdns-record/verbs.example/six.verbs.example/AAAA"
    made = rig.client.create(record, records=["2001:0db8::0002"], ttl=60).wait(WAIT)
    assert made.committed, "in another form than it was sent in"
    assert rig.client.delete(zone, accept_loss=True).wait(WAIT).committed
    assert accounts(powerdns, "verbs.example") == [None] * 3


def test_virtual_hosts_are_made_changed_and_deleted_everywhere_or_nowhere(
    rabbitmq_rig: Rig, rabbitmq: list[Server]
) -> None:
    rig, vhost, path = rabbitmq_rig, "rabbitmq-vhost/verbs%2Fa", "/api/vhosts/verbs%2Fa"
    assert rig.client.create(vhost, description="one", tags=["b", "a"]).wait(WAIT).committed
    assert [each.ask("GET", path).json()["description"] for each in rabbitmq] == ["one"] * 3
    assert rabbitmq[0].ask("PUT", path, json={"description": "own", "tags": ["z"]}).ok
    rabbitmq[1].ask("DELETE", path)
    drift = rig.cli("drift", vhost)
    assert (drift.returncode, "rabbitmq2" in drift.stdout) == (1, True), drift
    assert "rabbitmq1" in drift.stdout
    undone = rig.client.set(vhost, description="two").wait(WAIT)
    assert not undone.committed, "it is absent on one host"
    assert rabbitmq[0].ask("GET", path).json()["description"] == "own"
    assert rabbitmq[2].ask("GET", path).json()["description"] == "one"
    assert rig.client.set(vhost, description="three", create=True).wait(WAIT).committed
    assert rig.client.delete(vhost, accept_loss=True).wait(WAIT).committed
    assert [each.ask("GET", path).status_code for each in rabbitmq] == [404] * 3


def test_users_have_one_password_everywhere_or_each_its_old_one(
    rabbitmq_rig: Rig, rabbitmq: list[Server]
) -> None:
    rig, user, path = rabbitmq_rig, "rabbitmq-user/verbs", "/api/users/verbs"

    def enter(password: str) -> list[bool]:
        """On which servers the user logs in with this password."""
        return [
            each.running and requests.get(f"{each.url}/api/whoami", auth=("verbs", password), timeout=20).ok
            for each in rabbitmq
        ]

    (rig.directory / "password").write_text("canary-first\n")
    given = "--set", "tags=management", "--secret", f"password=@{rig.directory}/password"
    created = rig.cli("create", user, *given)
    assert created.returncode == 0, created
    assert enter("canary-first") == [True] * 3
    secret = {"password": "canary-second"}
    assert rig.client.set(user, tags=["management"], secrets=secret).wait(WAIT).committed, "tags as before"
    assert enter("canary-second") == [True] * 3
    # Each server has a password of its own, and keeps it when another one fails.
    own = {"password": "canary-own", "tags": "management"}
    assert rabbitmq[0].ask("PUT", path, json=own).ok
    rabbitmq[2].stop()
    third = {"password": "canary-third"}
    assert not rig.client.set(user, tags=["administrator"], secrets=third, retries=1).wait(WAIT).committed
    assert (enter("canary-own"), enter("canary-second")) == ([True, False, False], [False, True, False])
    assert not any(enter("canary-third"))
    assert not rig.client.delete(user, accept_loss=True, retries=1).wait(WAIT).committed
    assert (enter("canary-own"), enter("canary-second")) == ([True, False, False], [False, True, False])
    rabbitmq[2].start()
    rabbitmq[2].wait()
    assert rig.client.set(user, tags=[]).wait(WAIT).committed, "a password that is not given stays"
    assert rabbitmq[0].ask("GET", path).json()["tags"] == []
    kept = b"".join(each.read_bytes() for each in (rig.directory / "redis").rglob("*") if each.is_file())
    assert b"rabbitmq-user/verbs" in kept
    hashes = [each.ask("GET", path).json()["password_hash"].encode() for each in rabbitmq]
    for text in (b"canary", *hashes):
        assert text not in kept + rig.worker.output().encode()
    assert rig.client.delete(user, accept_loss=True).wait(WAIT).committed
    assert [each.ask("GET", path).status_code for each in rabbitmq] == [404] * 3
