"""Create, set, delete, drift and repair on real servers, by real workers: all hosts, or each as it was."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.settings import Settings
from tests.children import inherited
from tests.integration.worker.harness import ROOT, SHORT
from tests.kinds import gate
from tests.kinds.cases import CASES, Case, Shown
from tests.kinds.servers import Server
from tests.picture import RABBITMQ, drawn, on_rabbitmq, plain_of
from tests.waits import PATIENCE, eventually
from tests.warm import Warm, run

pytestmark = pytest.mark.timeout(240)  # servers start anew in between
WAIT = 90.0


class Rig:
    """Redis, a worker and beat, for three servers; before the third stands a gate."""

    def __init__(self, stack: ExitStack, directory: Path, servers: list[Server]) -> None:
        self.servers, self.stack, self.directory = servers, stack, directory
        (directory / "redis").mkdir()
        redis = stack.enter_context(RedisServer(directory / "redis"))
        self.gate = stack.enter_context(gate.before(servers[2].port))
        lines = []
        for each, url in zip(servers, [*(each.url for each in servers[:2]), self.gate.url], strict=True):
            how = ""
            if each.auth is not None:
                how = f"basic: {each.auth.file}"
                if not each.auth.basic:
                    how = f"header: {each.auth.header}, file: {each.auth.file}"
                how = f", auth: {{{how}}}"
            lines.append(f"  - {{name: {each.name}, url: '{url}'{how}}}\n")
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
        self.worker = self.new_worker()
        self._child("beat")
        self.client = stack.enter_context(ClusterClient(Settings(**values)))

    def new_worker(self) -> Warm:
        self.worker = self._child("worker", "-Q", "operations,rollback", "-n", "w@%h", "-l", "INFO")
        eventually(lambda: self.worker.output().count(" ready."), "the worker is ready")
        return self.worker

    def _child(self, *arguments: str) -> Warm:
        command = [sys.executable, "-m", "celery", "-A", "lockstep", *arguments]
        child = Warm(arguments[0], command, directory=self.directory, guard=self.guard, env=self.env, grace=5)
        self.stack.callback(child.stop)
        child.launch()
        return child

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("lockstep", *arguments, env=self.env, timeout=WAIT)


@pytest.fixture(params=list(CASES), scope="module")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    servers = request.getfixturevalue(request.param)
    with ExitStack() as stack:
        yield Rig(stack, tmp_path_factory.mktemp("rig"), servers)


def own(rig: Rig, case: Case) -> list[Shown]:
    """Give each server content of its own, and return what they then show."""
    if case.plant is not None:
        for place, server in enumerate(rig.servers):
            case.plant(server, "own" + "x" * place)
    return case.on(rig.servers)


def change(rig: Rig, case: Case, retries: int | None = None) -> bool:
    """Set the second content, or delete what has none; tell whether it was committed."""
    if case.plant is None:
        operation = rig.client.delete(case.thing, accept_loss=True, retries=retries)
    else:
        operation = rig.client.set(case.thing, fields=case.second, retries=retries)
    return operation.wait(WAIT).committed


def test_things_are_made_changed_and_deleted_everywhere_or_nowhere(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["rig"]
    if name == "rabbitmq":
        for server in rig.servers:
            server.ask("PUT", "/api/users/ann", json={"tags": "", "password": "x" * 9}).raise_for_status()
    cases = CASES[name]
    for case in cases:
        created_drifted_and_repaired(rig, case)
        before = own(rig, case)
        rig.gate.refuses = True
        assert not change(rig, case), f"{case.thing}: one refuses"
        assert case.on(rig.servers) == before
        rig.gate.refuses = False
    case = cases[0]
    stopped(rig, case)
    killed(rig, case)
    if name == "powerdns":
        record = "powerdns-record/verbs.example/six.verbs.example/AAAA"
        made = rig.client.create(record, records=["2001:0db8::0002"], ttl=60).wait(WAIT)
        assert made.committed, "in another form than it was sent in"
        again = rig.client.set(record, records=["2001:0db8::0002"], ttl=60).wait(WAIT)
        assert again.committed, "and once more"
    for case in reversed(cases):
        if any(each is not None for each in case.on(rig.servers)):
            assert rig.client.delete(case.thing, accept_loss=True).wait(WAIT).committed
        assert case.on(rig.servers) == [None] * 3


def created_drifted_and_repaired(rig: Rig, case: Case) -> None:
    created = rig.cli("create", case.thing, *(f"--set={name}={value}" for name, value in told(case.first)))
    assert created.returncode == 0, created
    made = case.on(rig.servers)
    assert None not in made
    assert made == made[:1] * 3
    case.remove(rig.servers[1])
    eventually(lambda: case.on(rig.servers)[1] is None, "a server that answers before it is done is done")
    if case.plant is not None:
        case.plant(rig.servers[0], "own")
    (found,) = rig.client.drift([case.thing])
    assert [each.host for each in found.drifts] == [each.name for each in rig.servers[case.plant is None : 2]]
    for operation in rig.client.repair(case.thing, accept_loss=True):
        assert operation.wait(WAIT).committed
    assert case.on(rig.servers) == made


def told(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        text = ",".join(value) if isinstance(value, list) else str(value).replace("'", '"')
        yield name, text


def stopped(rig: Rig, case: Case) -> None:
    """With one server stopped no other changes: a delete that is undone brings all back that stood there."""
    before = own(rig, case)
    rig.servers[1].stop()
    undone = rig.client.delete(case.thing, accept_loss=True, retries=1).wait(WAIT)
    assert not undone.committed
    assert [case.shows(each) for each in (rig.servers[0], rig.servers[2])] == [before[0], before[2]]
    rig.servers[1].start()
    rig.servers[1].wait()
    assert case.on(rig.servers) == before


def killed(rig: Rig, case: Case) -> None:
    """A worker dies while a write of its own is on its way; another one ends what it began."""
    rig.gate.holds.clear()
    rig.gate.open.clear()
    if case.plant is None:
        operation = rig.client.delete(case.thing, accept_loss=True)
    else:
        operation = rig.client.set(case.thing, fields=case.second)
    assert rig.gate.holds.wait(WAIT), "the third server is written to"
    rig.worker.kill()
    rig.new_worker()
    rig.gate.open.set()
    assert operation.wait(WAIT).committed
    shown = [{**each, "www": None} if each else each for each in case.on(rig.servers)]  # its own on each
    assert (shown == shown[:1] * 3, shown[0] is None) == (True, case.plant is None)


@pytest.mark.parametrize("rig", ["rabbitmq"], indirect=True)
def test_the_picture_shows_what_is_said(rig: Rig) -> None:
    said = plain_of(on_rabbitmq(rig))
    assert " ".join(said) == " ".join(drawn(RABBITMQ.read_text("utf-8"))), "make picture draws it anew"
    assert rig.client.delete("rabbitmq-vhost/team-a", accept_loss=True).wait(WAIT).committed


@pytest.mark.parametrize("rig", ["rabbitmq"], indirect=True)
def test_a_user_has_one_password_everywhere_or_each_its_old_one(rig: Rig) -> None:
    rabbitmq, user, path = rig.servers, "rabbitmq-user/verbs", "/api/users/verbs"

    def enter(password: str) -> list[bool]:
        """On which servers the user logs in with this password."""
        return [
            each.running
            and requests.get(f"{each.url}/api/whoami", auth=("verbs", password), timeout=PATIENCE).ok
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
    shown = rabbitmq[1].ask("GET", path).json()
    theirs = {"tags": "monitoring", **{name: shown[name] for name in ("password_hash", "hashing_algorithm")}}
    assert rabbitmq[1].ask("PUT", path, json=theirs).ok
    (found,) = rig.client.drift([user])
    assert [(drift.host, found.lines[drift.host]) for drift in found.drifts] == [
        (rabbitmq[1].name, ("- tags: []", '+ tags: ["monitoring"]'))
    ]
    assert [each.wait(WAIT).committed for each in rig.client.repair(user)] == [True]
    assert rabbitmq[1].ask("GET", path).json() == shown, "what repairs the tags leaves the password"
    kept = b"".join(each.read_bytes() for each in (rig.directory / "redis").rglob("*") if each.is_file())
    assert b"rabbitmq-user/verbs" in kept
    hashes = [each.ask("GET", path).json()["password_hash"].encode() for each in rabbitmq]
    for text in (b"canary", *hashes):
        assert text not in kept + rig.worker.output().encode()
    assert rig.client.delete(user, accept_loss=True).wait(WAIT).committed
    assert [each.ask("GET", path).status_code for each in rabbitmq] == [404] * 3
