"""A canary in every place that takes a secret: every error path is driven, and none is found anywhere."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from lockstep.producer.cli.app import lockstep as cli
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.worker.celery import QUEUE_OF, TaskName, make_app
from lockstep.worker.operation.model import Action, GroupId, State
from tests.integration.redis_servers.servers import Guarded
from tests.integration.worker.harness import ROOT, Bench
from tests.raw_server import serving
from tests.waits import PATIENCE, eventually
from tests.warm import WarmCluster, run
from tests.watch.locker import KIND, NAMES, Locker
from tests.watch.raiser import FILE

CANARY = re.compile(rb"(?i)nary-\d|nary%2d\d|ADMIN-PASSWORD|Y2FuYXJ5L")
"""And the base64 of one."""
SEAL_KEY = base64.b64encode(b"canary-19-key-of-32-bytes-long!!")
HANGS = 180
"""Seconds after which a process is given up: seven run at once, and each imports a lot."""
FLOWER_PASSWORD = "canary-4-flower"
WRONG = "canary-5-wrong"
ARGUMENTS = {
    **dict.fromkeys(("status", "show", "watch", "cancel", "delete", "create", "plan"), "team-a"),
    **dict.fromkeys(("resume", "probe", "sync"), "node1"),
    "abandon": "node1 --reason x",
    "apply": "/dev/null",
    "completion": "bash",
    "exists": "node2 team-a",
    "forget": "--deleted-before 1d",
    "pause": "node1 --why x",
    "repair": "team-a --to absent",
    "report": "team-a --html /dev/null",
}


def password(role: str) -> str:
    """Return a password that needs encoding, one for each role."""
    return f"canary-{('worker', 'producer', 'monitor').index(role)}-#/{role}"


class Secretive(Guarded):
    """A server whose users have these passwords."""

    def as_user(self, role: str) -> str:
        """The URL for a role."""
        if role == "admin":
            return super().as_user(role)
        return self.url.replace("//", f"//lockstep-{role}:{urllib.parse.quote(password(role), safe='')}@")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Secretive]:
    users = (ROOT / "docs" / "redis-users.acl").read_text()
    for role in ("worker", "producer", "monitor"):
        users = users.replace(f"{role.upper()}-PASSWORD", password(role))
    (tmp_path / "redis").mkdir()
    (tmp_path / "users.acl").write_text(users)
    with Secretive(tmp_path / "redis", tmp_path / "users.acl") as running:
        yield running


@pytest.fixture
def locker() -> Iterator[Locker]:
    with serving(Locker()) as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path, server: Secretive, locker: Locker) -> Iterator[Bench]:
    """Hosts with a token that is read, ones that cannot be, and one that speaks no TLS."""
    with contextlib.closing(Guard()) as guard:
        cluster = WarmCluster(tmp_path, 3, guard=guard)
        cluster.start()
        tokens = {
            "node1": b"canary-7-token\n",
            "node2": "c\u00e4nary-8-latin".encode("latin-1"),
            "node3": "canary-9-utf16".encode("utf-16"),
            "node4": b"canary-10-tls",
        }
        urls = {**cluster.nodes, "node4": cluster.nodes["node1"].replace("http://", "https://")}
        entries = ""
        for name, url in urls.items():
            (tmp_path / f"{name}.token").write_bytes(tokens[name])
            entries += f"  - name: {name}\n    url: {url}\n    token_file: {tmp_path / name}.token\n"
        entries += f"  - name: locker\n    url: {locker.url}\n    serves: [locker]\n"
        (tmp_path / "seal.token").write_bytes(SEAL_KEY)
        (tmp_path / "other.token").write_bytes(base64.b64encode(b"canary-20-key-of-32-bytes-long!!"))
        (tmp_path / "kinds").mkdir()
        (tmp_path / "kinds" / "locker.yaml").write_text(KIND)
        (tmp_path / "hosts.yaml").write_text(f"hosts:\n{entries}")
        given = {
            "redis_url": server.as_user("producer"),
            "key_prefix": "lockstep:",
            "inventory": str(tmp_path / "hosts.yaml"),
            "kinds": str(tmp_path / "kinds"),
            "seal_key_file": str(tmp_path / "seal.token"),
            "deadline": "6",
        }
        with contextlib.closing(Bench(server, cluster, guard, tmp_path / "bench", given)) as made:
            yield made


Run = tuple[str, dict[str, str], bool]


def run_all(bench: Bench, runs: list[Run]) -> bytes:
    """Run the command with words, variables, and maybe an error of the code; return all that it wrote."""
    told = []
    for words, more, unexpected in runs:
        env = {**bench.env, **{f"LOCKSTEP_{name.upper()}": value for name, value in more.items()}}
        env = {name: value for name, value in env.items() if value}
        told.append(([*words.split(), "--debug"], env, unexpected))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.watch.raiser"],
        input=json.dumps(told).encode(), env=bench.env, capture_output=True, timeout=HANGS, check=False,
    )  # fmt: skip
    said = ran.stdout + ran.stderr
    assert said.count(b"RAN [") == len(runs), said[-3000:]
    return said


def inspect(bench: Bench, what: str, url: str) -> bytes:
    env = {**bench.env, "LOCKSTEP_REDIS_URL": url}
    ran = run("celery", "-A", "lockstep", "inspect", what, env=env, timeout=HANGS)
    return (ran.stdout + ran.stderr).encode()


@pytest.mark.timeout(400)
def test_no_secret_is_found_anywhere(bench: Bench, server: Secretive, locker: Locker, tmp_path: Path) -> None:
    ports = free_port(0), free_port(0)
    worker_url = {"LOCKSTEP_REDIS_URL": server.as_user("worker")}
    beat = bench.child(
        "beat", ["-m", "celery", "-A", "lockstep", "beat", "-s", str(tmp_path / "beat")], worker_url
    )
    raise_now = tmp_path / "raise"
    env = {**worker_url, "LOCKSTEP_METRICS_PORT": str(ports[0]), "LOCKSTEP_LOG_FORMAT": "json"}
    env |= {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "100", FILE: str(raise_now)}
    worker = bench.worker(env=env, options=["-l", "DEBUG"], app="tests.watch.raiser")
    flower = bench.child(
        "flower",
        [
            "-m",
            "lockstep.worker.monitoring.flower",
            f"--address={LOOPBACK}",
            f"--port={ports[1]}",
            "--logging=debug",
        ],
        {
            "LOCKSTEP_REDIS_URL": server.as_user("monitor"),
            "FLOWER_BASIC_AUTH": f"me:{FLOWER_PASSWORD}",
            "FLOWER_DB": str(tmp_path / "flower"),
        },
    )
    operation = bench.start(Action.CREATE, GroupId("team-a"))
    assert bench.end(operation).operation.state is State.ROLLED_BACK

    raise_now.touch()
    names = dict[str, tuple[str, ...]](dict.fromkeys((TaskName.SWEEP, TaskName.PATROL), ()))
    names |= {TaskName.PATROL_GROUP: ("team-a",), TaskName.CONCLUDE: (operation, "team-a")}
    with contextlib.closing(make_app(bench.settings.at(server.as_user("worker")))) as app:
        for name in QUEUE_OF:
            app.send_task(name, names.get(name, (operation, "team-a", "node1")))
    eventually(lambda: set(raise_now.read_text().split()) == set(QUEUE_OF), "every task raises")
    eventually(lambda: "raised unexpected" in worker.output(), "its error is logged")
    raise_now.unlink()

    url, page_of = bench.settings.redis_url.reveal(), tmp_path / "report.html"
    sentinel = f"sentinel://{LOOPBACK}:1/0?master=m&sentinel_password=canary-3-sentinel"
    bad_urls = [
        url.replace(str(server.port), str(free_port(0))),
        url.replace("canary-1", WRONG),
        url.replace("%23", "#").replace("%2F", "/"),
        url.replace("%2F", "/"),
        url.replace(f":{server.port}", ":port"),
        url + "?foo=1",
        sentinel,
    ]
    latin = tmp_path / "redis.token"
    latin.write_bytes("cänary-12-latin".encode("latin-1"))
    beside = {"redis_url": server.url, "redis_username": "lockstep-producer"}
    bad: list[dict[str, str]] = [
        *({"redis_url": each} for each in bad_urls),
        {**beside, "redis_password": "canary-11-beside"},
        {**beside, "redis_password_file": str(latin)},
        {"redis_password": "canary-11-beside"},
        {"redis_passwrod": "canary-13-misspelled"},
        {"call_timeout": "1", "read_timeout": "2"},
        {"hosts": "http://me:canary-6-host@node1", "inventory": ""},
        {"hosts": "http://me:canary-6-ho/st@node1:port,", "inventory": ""},
    ]
    real = (
        f"show {operation}",
        "doctor",
        "hosts",
        "exists node2 team-a",
        f"report {operation} --html {page_of}",
    )
    runs: list[Run] = [
        *((words, {}, False) for words in real),
        *(("list", each, False) for each in bad),
        *((f"{verb} {ARGUMENTS.get(verb, '')}", {}, True) for verb in sorted(cli.commands)),
    ]
    inspected = [(what, url) for what in ("stats", "conf", "report")] + [("ping", url.replace("%2F", "/"))]
    with ThreadPoolExecutor(7) as pool:
        asked = pool.map(lambda each: inspect(bench, *each), inspected)
        parts = [*(runs[n::3] for n in range(3)), on_lockers(tmp_path)]
        said = b"".join(pool.map(lambda some: run_all(bench, some), parts))
    assert said.count(b"Unexpected: unexpected at ") >= len(cli.commands) - 2
    with contextlib.closing(requests.Session()) as session:
        session.auth = ("me", FLOWER_PASSWORD)
        eventually(lambda: page(session, ports[1], "/api/workers") != b"{}", "Flower knows the worker")
        pages = b"".join(
            page(session, ports[1], each)
            for each in ("/api/workers?refresh=1", "/api/tasks", "/workers", "/broker", "/tasks", "/metrics")
        )
        metrics = page(session, ports[0], "/metrics")
    assert b"operations" in pages
    assert b"lockstep_" in metrics

    places = {
        "the command": said,
        "inspect, and a worker that does not start": b"".join(asked),
        "Flower's pages": pages,
        "metrics": metrics,
        "logs": "".join(each.output() for each in (beat, worker, flower)).encode(),
        "process list": b"".join(commands()),
        "files": b"".join(
            path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and path.suffix not in (".token", ".acl")
        ),
    }
    assert locker.passwords["plain"] == "canary-13-password"
    assert b"~ pin: (differs)" in said
    assert b"~ password: (differs)" in said
    assert b"is sealed with key" in said
    assert re.search(rb"seal keys +[0-9a-f]{8}: here, worker@", said), "doctor says who has which"
    assert b"refused (400: no " in said
    found = {where: near(text) for where, text in places.items() if CANARY.search(text)}
    assert found == {}
    assert page_of.exists()
    assert b"is not UTF-8 text" in said + places["logs"]
    assert b'"trace_id"' in places["logs"]


def on_lockers(folder: Path) -> list[Run]:
    """Commands that give secrets to things, and what must fail."""
    for name in ("password", "pin"):
        (folder / f"{name}.token").write_text(f"canary-13-{name}\n")
    secret = f"--hosts locker --secret password=@{folder}/password.token --secret pin=@{folder}/pin.token"
    words = [
        f"create locker/plain {secret}",
        f"set locker/plain {secret} --set colour=red",
        f"plan set locker/quoting {secret}",
        *(f"set locker/{name} --id {name} --retries 0 {secret}" for name in NAMES),
        *(f"show {name}" for name in NAMES),
        f"report quoting --html {folder}/quoting.html",
        "set locker/plain --secret password=@missing",
        "drift locker/plain",
        "repair locker/plain",
    ]
    found: list[Run] = [(each, {}, False) for each in words]
    found += [(words[-2], {"seal_key_file": str(folder / "other.token")}, False)]
    return [*found, (words[-2], {"seal_key_file": ""}, False), (words[0], {"seal_key_file": ""}, False)]


def page(session: requests.Session, port: int, path: str) -> bytes:
    with contextlib.suppress(requests.RequestException):
        return session.get(f"http://{LOOPBACK}:{port}{path}", timeout=PATIENCE).content
    return b"{}"


def near(text: bytes) -> bytes:
    """Return what stands around a canary."""
    match = next(CANARY.finditer(text))
    return text[max(0, match.start() - 200) : match.end() + 40]


def commands() -> Iterator[bytes]:
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield each.read_bytes()
