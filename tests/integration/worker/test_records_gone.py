"""Redis that has lost records, or was put back to an older state: nobody is left waiting or in the dark."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from lockstep import ClusterClient, RecordGone
from lockstep.producer.cli import main
from lockstep.producer.stack.ports import LOOPBACK, free_port
from lockstep.worker.celery import OPERATIONS, ROLLBACK
from lockstep.worker.celery.messages import publish, publish_conclude
from lockstep.worker.connection import client
from lockstep.worker.operation.model import Action, HostName, OperationId, State
from lockstep.worker.operation.transitions import Claim, Phase
from tests.contract.producer.conftest import Ran, Run
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually

AOF = "appendonlydir"
NODE3 = HostName("node3")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Bench]:
    """A bench with a Redis of its own, to be emptied and put back."""
    with parts(tmp_path / "parts") as (server, cluster, guard):
        bench = Bench(server, cluster, guard, tmp_path / "bench")
        try:
            yield bench
        finally:
            bench.close()


@pytest.fixture
def lockstep(alone: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""
    for name, value in alone.values.items():
        monkeypatch.setenv(f"LOCKSTEP_{name.upper()}", value)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


def put_back(bench: Bench, copy: Path) -> None:
    """Put Redis back to the copy, as the runbook does."""
    bench.redis.kill()
    shutil.rmtree(bench.redis.directory / AOF)
    shutil.copytree(copy, bench.redis.directory / AOF)
    bench.redis.start()


def pass_deadline(bench: Bench, operation: OperationId) -> None:
    """Have an operation look as if the copy of its record were a day old."""
    raw: redis.Redis = client(bench.settings)
    name = f"{bench.settings.key_prefix}op:{operation}"
    raw.hset(name, "deadline_at", int(raw.hget(name, "created_at") or 0) + 1)


def hold_up_node3(bench: Bench) -> None:
    """Have node3 asked again and again, while the other two are done."""
    bench.admin.set_faults(
        {"kind": "throttle", "status": 429, "retry_after": 1, "methods": ["GET"]}, node="node3"
    )


def counted(port: int) -> float:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    name = "lockstep_messages_without_record_total "
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_an_emptied_redis_is_told_to_whoever_waits_and_to_whoever_watches(
    alone: Bench, lockstep: Run
) -> None:
    port = free_port()
    alone.beat()
    worker = alone.worker(env={"LOCKSTEP_METRICS_PORT": str(port)})
    hold_up_node3(alone)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(lockstep, "create", alone.group, "--id", "emptied")
        eventually(lambda: alone.holding() == {"node1", "node2"}, "two of three hosts are changed")
        assert counted(port) == 0
        raw: redis.Redis = client(alone.settings)
        raw.flushall()
        # Of node3 the step may have been between two tries, in Redis alone, and be gone as well.
        publish(alone.app, OperationId("emptied"), Claim(Phase.FORWARD, alone.group, Action.CREATE, (NODE3,)))
        ran = waiting.result()
    assert (ran.code, ran.out) == (10, "")
    assert ran.err.splitlines()[-1] == (
        f'lockstep: error: the record of operation "emptied" (create "{alone.group}") vanished from Redis '
        "after it was accepted: hosts may have been changed, and nothing carries it on; see what they hold "
        "with `lockstep drift emptied`, then bring them to one state with `lockstep apply FILE`, or with "
        f"`lockstep create {alone.group}` or `delete`; see {RecordGone.page}"
    )
    gone = f"operation emptied on group {alone.group} has no record; its hosts may have been changed (node3)"
    eventually(lambda: gone in worker.output(), "the worker names the operation and the host")
    assert counted(port) >= 1
    for command in ("status", "show", "watch", "cancel"):
        ran = lockstep(command, "emptied")
        assert (ran.code, ran.out) == (10, "")
        assert "vanished from Redis" in ran.err
    assert {entry.method for entry in alone.history("node3")} == {"GET"}

    doctor = lockstep("doctor", "--json")
    wrong = [each for each in json.loads(doctor.out)["findings"] if each["level"] != "ok"]
    (found,) = [each for each in wrong if "record" in each["text"]]
    assert (found["level"], found["remedy"]) == ("failure", "lockstep drift emptied")
    alone.admin.set_faults(node="node3")
    drift = lockstep("drift", "emptied", "--json")
    assert drift.code == 1
    held = {row["host"]: row["found"] for row in json.loads(drift.out)["unmeasured"]}
    assert held == {"node1": "present", "node2": "present", "node3": "absent"}

    assert lockstep("create", alone.group).code == 0
    assert alone.holding() == set(alone.hosts)
    assert lockstep("drift", alone.group).code == 0
    assert "record of" not in lockstep("doctor").out


@pytest.mark.parametrize("action", Action)
def test_a_message_without_a_record_writes_to_no_host(running: Bench, action: Action) -> None:
    operation = OperationId(f"never-recorded-{action}")
    running.admin.plant("node1", running.group, {})
    group, hosts = running.group, running.hosts
    for phase in (Phase.FORWARD, Phase.ROLLBACK, Phase.SETTLE):
        publish(running.app, operation, Claim(phase, group, action, tuple(hosts)))
    publish_conclude(running.app, operation, group)
    raw: redis.Redis = client(running.settings)
    left = [f"{running.settings.key_prefix}celery:{name}" for name in (OPERATIONS, ROLLBACK, "unacked")]
    eventually(lambda: not raw.exists(*left), "every message was served")
    assert {entry.method for entry in running.history()} <= {"GET"}
    assert running.holding() == {"node1"}
    assert running.store.lost()[operation].group == group


def test_of_messages_without_a_record_each_host_is_named(bench: Bench) -> None:
    worker = bench.worker()
    operation = OperationId("never-recorded")
    publish(bench.app, operation, Claim(Phase.FORWARD, bench.group, Action.CREATE, tuple(bench.hosts)))
    gone = f"operation {operation} on group {bench.group} has no record; its hosts may have been changed"
    eventually(
        lambda: all(f"{gone} ({host})" in worker.output() for host in bench.hosts), "each host is named"
    )


@pytest.mark.parametrize(
    "moment",
    [
        lambda bench: bench.holding() == {"node1", "node2"},
        lambda bench: any(entry.method == "POST" for entry in bench.history()),
    ],
    ids=["two hosts done, one not begun", "a write under way"],
)
def test_a_copy_with_the_operation_undecided_is_settled_by_looks(
    alone: Bench, tmp_path: Path, moment: Callable[[Bench], bool], lockstep: Run
) -> None:
    alone.beat()
    worker = alone.worker()
    hold_up_node3(alone)
    alone.admin.set_latency(300)
    operation = alone.start(Action.CREATE)
    eventually(lambda: moment(alone), "the moment of the copy")
    copy = shutil.copytree(alone.redis.directory / AOF, tmp_path / "copy")
    assert alone.read(operation).state is State.APPLYING
    alone.admin.set_faults(node="node3")
    alone.admin.set_latency(None)
    assert alone.end(operation).operation.state is State.COMMITTED
    worker.stop()
    put_back(alone, copy)
    assert alone.read(operation).state is State.APPLYING

    alone.worker("next")
    assert alone.end(operation).operation.state is State.COMMITTED
    assert alone.holding() == set(alone.hosts)
    assert all(alone.effects(host) == ["POST"] for host in alone.hosts)
    assert lockstep("drift", alone.group).code == 0


def test_a_copy_with_the_operation_begun_everywhere_is_undone_everywhere_once_its_deadline_has_passed(
    alone: Bench, tmp_path: Path
) -> None:
    alone.beat()
    worker = alone.worker()
    alone.admin.set_latency(600)
    operation = alone.start(Action.CREATE)
    eventually(
        lambda: [entry.method for entry in alone.history()].count("POST") == 3, "every write is under way"
    )
    copy = shutil.copytree(alone.redis.directory / AOF, tmp_path / "copy")
    alone.admin.set_latency(None)
    assert alone.end(operation).operation.state is State.COMMITTED
    worker.stop()
    put_back(alone, copy)
    pass_deadline(alone, operation)

    alone.worker("next")
    assert alone.end(operation).operation.state is State.ROLLED_BACK
    assert alone.holding() == set()


def test_a_host_that_the_copy_had_not_begun_with_is_left_alone_and_named(
    alone: Bench, tmp_path: Path, lockstep: Run
) -> None:
    """Nothing says whether what it holds was put there since, or was there before: only a person can know."""
    alone.beat()
    worker = alone.worker()
    hold_up_node3(alone)
    operation = alone.start(Action.CREATE)
    eventually(lambda: alone.holding() == {"node1", "node2"}, "two of three hosts are changed")
    copy = shutil.copytree(alone.redis.directory / AOF, tmp_path / "copy")
    alone.admin.set_faults(node="node3")
    assert alone.end(operation).operation.state is State.COMMITTED
    worker.stop()
    put_back(alone, copy)
    pass_deadline(alone, operation)

    alone.worker("next")
    assert alone.end(operation).operation.state is State.ROLLED_BACK
    assert alone.holding() == {"node3"}
    drift = lockstep("drift", alone.group, "--json")
    assert drift.code == 1
    assert {row["host"]: row["found"] for row in json.loads(drift.out)["unmeasured"]} == {
        "node1": "absent",
        "node2": "absent",
        "node3": "present",
    }
    assert lockstep("delete", alone.group).code == 0
    assert alone.holding() == set()
    assert lockstep("drift", alone.group).code == 0


def test_a_copy_without_the_operation_is_told_like_an_emptied_redis(
    alone: Bench, tmp_path: Path, lockstep: Run
) -> None:
    alone.beat()
    alone.worker()
    earlier = alone.start(Action.CREATE)
    alone.end(earlier)
    copy = shutil.copytree(alone.redis.directory / AOF, tmp_path / "copy")
    hold_up_node3(alone)
    with ClusterClient(alone.settings) as cluster:
        operation = cluster.delete_group(alone.group)
        eventually(lambda: alone.holding() == {"node3"}, "two of three hosts are changed")
        put_back(alone, copy)
        with pytest.raises(RecordGone, match=f"lockstep drift {operation.id}"):
            operation.wait(PATIENCE)
    assert {entry.method for entry in alone.history("node3")} == {"GET", "POST"}
    alone.admin.set_faults(node="node3")

    def told() -> set[str]:
        drift = lockstep("drift", operation.id, "--json")
        assert drift.code == 1
        return {row["host"] for row in json.loads(drift.out)["drift"]}

    eventually(lambda: told() == {"node1", "node2"}, "both are told, and neither was silent")
    assert lockstep("delete", alone.group).code == 0
    assert alone.holding() == set()
    assert lockstep("drift", operation.id).code == 0
