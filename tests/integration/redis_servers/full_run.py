"""All that each role does: workers meet every fault, each command is typed, Flower shows each page."""

from __future__ import annotations

import asyncio
import os
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from unittest.mock import patch

from lockstep.producer.cli.app import main
from lockstep.producer.client.client import ClusterClient
from lockstep.producer.client.operation import Operation
from lockstep.producer.stack.child import Child
from lockstep.producer.stack.guard import Guard
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.worker.celery import OPERATIONS, ROLLBACK, make_app
from lockstep.worker.connection import client
from lockstep.worker.kinds import kinds_of
from lockstep.worker.operation.errors import RecordGone
from lockstep.worker.operation.model import GroupId, Stage, State
from lockstep.worker.record.link import Link
from lockstep.worker.record.scripts import Replicas
from lockstep.worker.settings import Settings
from tests.integration.redis_servers.broken import KEYS, break_the_record
from tests.integration.redis_servers.recorder import Recorder
from tests.integration.redis_servers.servers import Guarded
from tests.integration.worker.harness import Bench
from tests.waits import PATIENCE, eventually
from tests.warm import WarmCluster

QUICK = {
    "key_prefix": "lockstep:",
    "patrol_every": "0.5",
    "retention_count": "8",
    "breaker_failures": "2",
    "breaker_seconds": "2",
}
SEEN = ("list", "list --stuck", "history", "hosts", "doctor", "exists node1 team-1", "plan create team-z")
"""What whoever changes nothing may type, besides what is about one operation."""
PAGES = (
    *("", "workers?json=1", "tasks", "broker", "metrics", "worker/operations@{host}"),
    *("api/workers?refresh=1", "api/tasks", "api/task/types", "api/queues/length", "api/task/info/{task}"),
)
EXPECTED = (0, 1, 2, 3, 8)
"""Exit codes of what is done, what differs, and what there is nothing of."""


def full_run(recorder: Recorder, server: Guarded, cluster: WarmCluster, guard: Guard, folder: Path) -> None:
    """Do it all. What a role is denied raises, or is in the server's log."""
    kinds = folder / "kinds"
    kinds.mkdir(parents=True)
    (kinds / "team.yaml").write_text(kinds_of().find("group").source.replace("kind: group", "kind: team"))
    given = {**QUICK, "redis_url": recorder.url("producer"), "kinds": str(kinds)}
    bench = Bench(server, cluster, guard, folder / "bench", given)
    with closing(bench), roles(bench, recorder) as port:
        meet_faults(bench, server)
        change(bench, folder)
        for role in ("producer", "monitor"):
            with server.client("admin") as admin:
                admin.script_flush()
            look(bench, recorder.url(role), folder)
        with server.client("admin") as admin:
            for role in ("worker", "monitor"):
                admin.execute_command("CLIENT", "KILL", "USER", f"lockstep-{role}")
        show(bench, port)
        be_refused(recorder)
        do_the_rest(recorder)


@contextmanager
def roles(bench: Bench, recorder: Recorder) -> Iterator[int]:
    """Start workers, beat and Flower; yields Flower's port. Workers are asked to end amid their work."""
    worker = {"LOCKSTEP_REDIS_URL": recorder.url("worker")}
    port = free_port()
    arguments = ["-m", "lockstep.worker.monitoring.flower", f"--address={LOOPBACK}", f"--port={port}"]
    seeing = {"FLOWER_UNAUTHENTICATED_API": "true", "LOCKSTEP_REDIS_URL": recorder.url("monitor")}
    flower = bench.child("flower", arguments, seeing)
    bench.beat(worker)
    kinds = {OPERATIONS: (OPERATIONS, "stock"), ROLLBACK: (f"{OPERATIONS},{ROLLBACK}", "own")}
    started, counting = [], [free_port() for _ in kinds]
    for (name, (queues, broker)), metrics in zip(kinds.items(), counting, strict=True):
        env = {**worker, "LOCKSTEP_BROKER": broker, "LOCKSTEP_METRICS_PORT": str(metrics)}
        started.append(bench.worker(name, queues=queues, env=env, wait=False))
    for each in started:
        eventually(lambda each=each: " ready." in each.output(), "workers are ready")  # type: ignore[misc]
    eventually(lambda: f'"{ROLLBACK}"' in asked(port, "api/queues/length"), "Flower knows the queues")
    yield port
    leave_amid_work(bench, started, counting)
    flower.stop()


def leave_amid_work(bench: Bench, workers: list[Child], counting: list[int]) -> None:
    """Have workers tell how things stand, and give back what they wait with."""
    bench.admin.set_faults({"kind": "error_before", "methods": ["GET"]})
    with ClusterClient(bench.settings) as cluster:
        for number in range(4):
            cluster.create_group(f"team-left-{number}")
    eventually(lambda: bench.history(group=GroupId("team-left-3")), "it is worked on")
    for port in counting:
        assert "lockstep_record_up 1.0" in asked(port, "metrics")
    with ThreadPoolExecutor() as pool:
        for stopping in [pool.submit(each.stop) for each in workers]:
            stopping.result()


def meet_faults(bench: Bench, server: Guarded) -> None:
    """Commit, be refused, undo, settle, cancel, abandon; lose messages and records; mend drift."""
    admin, url = bench.admin, bench.settings.redis_url.reveal()
    with ClusterClient(bench.settings) as cluster, server.client("admin") as raw:
        for name in ("0", "1", "2", "3", "gone"):
            assert cluster.create_group(f"team-{name}").wait(timeout=PATIENCE).state is State.COMMITTED
        go_in_waves(cluster)
        change_a_thing(cluster)
        for name in ("team-0", "team-gone"):
            assert cluster.delete_group(name).wait(timeout=PATIENCE).state is State.COMMITTED
        admin.set_faults({"kind": "refuse", "status": 403, "methods": ["POST"]}, node="node3")
        assert cluster.create_group("team-refused").wait_end(timeout=PATIENCE).state is State.ROLLED_BACK
        admin.set_faults(node="node3")
        admin.set_faults({"kind": "error_after", "methods": ["POST"], "times": 1}, node="node2")
        assert cluster.create_group("team-late").wait_end(timeout=PATIENCE).state is State.COMMITTED
        admin.set_faults(
            {"kind": "error_after", "methods": ["POST"]},
            {"kind": "error_before", "methods": ["GET"], "group": "team-left", "after": 1},
            node="node2",
        )
        left = cluster.create_group("team-left")
        eventually(lambda: bench.effects("node2", GroupId("team-left")), "node2 is changed")
        admin.down("node2")
        undone = cluster.create_group("team-undone")
        undone.cancel()
        eventually(lambda: left.status().stalled_hosts, "node2 is waited for")
        lockstep(bench, url, f"abandon {left.id} node2 --reason test")
        eventually(lambda: raw.hlen(KEYS.spared), "node2 is spared")
        admin.up("node2")
        admin.set_faults(node="node2")
        assert undone.wait_end(timeout=PATIENCE).state is State.ROLLED_BACK
        admin.set_latency(2000)
        forgotten = cluster.create_group("team-forgotten")
        raw.delete(KEYS.operation(forgotten.id))
        with suppress(RecordGone):
            forgotten.wait(timeout=PATIENCE)
        admin.set_latency(None)
        break_the_record(bench, raw)


def go_in_waves(cluster: ClusterClient) -> None:
    """Once with a gate after each wave and once without; each wave is held, the first by a person too."""
    for name, bake in (("team-baked", 0.1), ("team-waves", None)):
        operation = cluster.create_group(name, waves="1", bake=bake, hold=True)
        operation.hold("the first is looked at")
        for wave in (1, 2):
            eventually(partial(waits, operation, wave), f"wave {wave} is held")
            operation.promote()
        assert operation.wait_end(timeout=PATIENCE).state is State.COMMITTED


def change_a_thing(cluster: ClusterClient) -> None:
    """Make a thing of a kind, and take it away: one that has no content but its presence."""
    assert cluster.create("team/a").wait(timeout=PATIENCE).state is State.COMMITTED
    assert cluster.delete("team/a").wait_end(timeout=PATIENCE).state is State.COMMITTED


def waits(operation: Operation, wave: int) -> bool:
    """Tell whether it is held after this wave."""
    standing = operation.status().rollout
    return standing is not None and (standing.wave, standing.stage) == (wave, Stage.WAITING)


def lockstep(bench: Bench, url: str, line: str) -> None:
    """Type a command, as whoever the URL says."""
    env = {**bench.env, "LOCKSTEP_REDIS_URL": url}
    with patch.dict(os.environ, env, clear=True):
        code = main(line.split())
    assert code in EXPECTED, f"{line}: {code}"


def change(bench: Bench, folder: Path) -> None:
    """Type, as the producer, each command that changes something, and use what only programs have."""
    groups = folder / "groups.yaml"
    groups.write_text("present: [team-1, team-x]\nabsent: [team-2]\n")
    bench.admin.remove("node1", "team-1")
    for line in (
        "create team-y",
        "delete team-y",
        f"apply {groups}",
        "pause node1 --why test",
        "create team-paused",
        "resume node1",
        "repair team-1 --to present",
        "sync node1 --yes",
        "abandon node1 --reason test",
        "probe node1 --watch 1",
        "forget --deleted-before 1d",
        "forget --deleted-before 1d --yes",
    ):
        lockstep(bench, bench.settings.redis_url.reveal(), line)
    bench.admin.set_latency(2000)
    with ClusterClient(bench.settings) as cluster:
        cancelled = cluster.create_group("team-e").id
        lockstep(bench, bench.settings.redis_url.reveal(), f"cancel {cancelled} --reason test")
        bench.admin.set_latency(None)
        assert asyncio.run(cluster.create_group("team-d").wait_async(timeout=PATIENCE)).committed


def look(bench: Bench, url: str, folder: Path) -> None:
    """Type each command that only looks, and those that keep what they see where that is allowed."""
    with ClusterClient(bench.settings) as cluster:
        operation = cluster.create_group("team-seen").id
    of_one = (f"watch {operation}", f"status {operation[:9]}", f"show {operation}")
    for line in (*of_one, f"report {operation} --html {folder / 'seen.html'}", "status 00000000ffff", *SEEN):
        lockstep(bench, url, line)
    if "monitor" not in url:
        bench.admin.remove("node2", "team-3")
        lockstep(bench, url, "drift")


def asked(port: int, path: str) -> str:
    """What Flower answers; nothing while it does not."""
    url = f"http://{LOOPBACK}:{port}/{path}"
    with suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())
    return ""


def show(bench: Bench, port: int) -> None:
    """Look at each page of Flower's, and ask for all that its API tells."""
    eventually(lambda: "team-seen" in asked(port, "api/tasks"), "Flower hears of tasks")
    for page in PAGES:
        path = page.format(host=socket.gethostname(), task=asked(port, "api/tasks").split('"')[1])
        eventually(lambda path=path: asked(port, path), path)  # type: ignore[misc]


def be_refused(recorder: Recorder) -> None:
    """Ask workers, as the monitor, to take tasks from another list."""
    with closing(make_app(Settings(redis_url=recorder.url("monitor")))) as app:
        said = app.control.add_consumer("mine", reply=True, timeout=PATIENCE, limit=2) or []
    assert len(said) == 2
    assert all("is refused" in str(each) for each in said), said


def do_the_rest(recorder: Recorder) -> None:
    """Do what roles do where replicas are waited for, a worker stands still or fails, and KEDA scales."""
    for role in ("worker", "producer"):
        with client(Settings(redis_url=recorder.url(role))) as link, link.pipeline(transaction=False) as pipe:
            Replicas(KEYS.fence, 1, 1).ask(pipe)
            pipe.execute()
    with closing(Link(Settings(redis_url=recorder.url("worker")))) as link:
        link.stalls.note("worker@host", "test")
        link.store.note_failed("sweep", "test")
