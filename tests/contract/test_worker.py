"""A whole worker in a thread of this process, with all that watches it: so its lines are seen as they run.

Real nodes, a real Redis, and no beat: what beat would send, a test sends.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from celery import _state as untyped
from celery import signals
from celery.contrib.testing.worker import start_worker
from celery.utils.dispatch import Signal
from kombu import transport as untyped_transport
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.ports import free_port
from lockstep.worker.celery import OPERATIONS, ROLLBACK, TaskName
from lockstep.worker.celery.broker.control import Control
from lockstep.worker.celery.broker.transport import Transport
from lockstep.worker.hosts import curl
from lockstep.worker.monitoring import metrics, probe, tracing
from lockstep.worker.operation.model import GroupId, State
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually

celery: Any = untyped
transport: Any = untyped_transport
THREADS = "lockstep.worker.tasks.received:Threads"


class Whole(Bench):
    """One worker, and what was heard of it."""

    spans: InMemorySpanExporter

    def run(self, task: str, *arguments: object) -> str:
        """Have the worker run a task of beat's, or the patrol's; return what it came to."""
        said: str = self.app.tasks[task].apply_async(arguments).get(timeout=PATIENCE)
        return said

    def sweeping(self, operation: str) -> State:
        """Sweep until an operation has ended."""

        def ended() -> bool:
            self.run(TaskName.SWEEP)
            return self.read(operation).ended  # type: ignore[arg-type]

        eventually(ended, "a sweep has it ended")
        return self.read(operation).state  # type: ignore[arg-type]

    def counts(self) -> str:
        """What Prometheus is told."""
        address = f"http://127.0.0.1:{self.settings.metrics_port}/metrics"
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def count(self, what: str) -> float:
        """One of these counts, to which earlier tests have added theirs."""
        told = (line.rpartition(" ") for line in self.counts().splitlines())
        return next((float(value) for name, _, value in told if name == f"lockstep_{what}"), 0.0)


@contextmanager
def working(app: Any) -> Iterator[None]:
    """Run a worker as Celery's command does, and leave this process as it was."""
    before, watches = (celery.default_app, celery._tls.current_app), list(curl.watches)
    aliases = dict(transport.TRANSPORT_ALIASES)
    transport._transport_cache.clear()  # clients in this process have had theirs looked up
    import_module("lockstep.worker.tasks")  # they hear the signal
    heard = {each: list(each.receivers) for each in vars(signals).values() if isinstance(each, Signal)}
    instance = SimpleNamespace(app=app, quiet=False)

    def keep_logs(**_: Any) -> None:
        """Whoever hears this signal sets up the logs, in place of Celery."""

    signals.setup_logging.connect(keep_logs)
    signals.celeryd_init.send("whole@here", instance=instance)
    try:
        queues = [OPERATIONS, ROLLBACK]
        with start_worker(app, pool=THREADS, concurrency=4, perform_ping_check=False, queues=queues):
            signals.worker_ready.send(None)
            yield
            signals.worker_shutting_down.send(None, sig="TERM", how="Warm", exitcode=0)
    finally:
        signals.worker_shutdown.send(None)  # else its heart takes this process for a worker that does not end
        signals.worker_init.send(None)  # it is not stopping any more
        metrics._counting.clear()
        CeleryInstrumentor().uninstrument()  # type: ignore[no-untyped-call]
        for signal, receivers in heard.items():  # what this worker hears them with, and counts
            signal.receivers[:] = receivers
        curl.watches[:] = watches
        transport.TRANSPORT_ALIASES.update(aliases)
        transport._transport_cache.clear()
        celery.default_app, celery._tls.current_app = before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        heart, port = str(folder / "heart"), str(free_port())
        more = {"heartbeat_dir": heart, "metrics_port": port, "sweep_patience": "0.5"}
        made = Whole(*stack.enter_context(parts(folder)), folder / "bench", more)
        stack.callback(made.close)
        made.spans = InMemorySpanExporter()
        patch.setenv(probe.VARIABLE, heart)
        patch.setenv(tracing.EXPORTER, "console")
        patch.setattr(tracing, "_exporters", lambda _: [made.spans])
        tracing._exporting.cache_clear()
        stack.callback(tracing._exporting.cache_clear)
        stack.enter_context(working(made.app))
        yield made


@pytest.fixture
def client(whole: Whole) -> Iterator[ClusterClient]:
    whole.clear()
    with ClusterClient(whole.settings, created_by="test") as made:
        yield made


def test_a_group_is_created_and_deleted_everywhere(whole: Whole, client: ClusterClient) -> None:
    deleted = 'operations_total{action="delete",end="committed"}'
    applied = 'steps_total{outcome="applied",task="create_group"}'
    before = whole.count(deleted), whole.count(applied)
    assert client.create_group(whole.group).wait(timeout=PATIENCE).state is State.COMMITTED
    assert whole.holding() == set(whole.hosts)
    assert client.delete_group(whole.group).wait(timeout=PATIENCE).state is State.COMMITTED
    assert whole.holding() == set()
    eventually(lambda: whole.count(deleted) == before[0] + 1, "counted")
    assert whole.count(applied) == before[1] + 3


@pytest.mark.parametrize("per_task", [1, 3])
def test_what_one_host_refuses_is_undone_and_what_lands_late_is_repaired(whole: Whole, per_task: int) -> None:
    whole.clear()
    whole.admin.add_faults({"kind": "error_before", "methods": ["POST"]}, node="node3")
    whole.admin.add_faults({"kind": "error_after", "methods": ["POST"]}, node="node1")
    with ClusterClient(whole.settings.but(hosts_per_task=per_task)) as client:
        operation = client.create_group(whole.group)
        eventually(lambda: "node1" in whole.holding(), "the write to node1 took effect")  # none leaves later
        whole.admin.set_faults({"kind": "refuse", "methods": ["POST"], "status": 403}, node="node3")
        assert whole.sweeping(operation.id) is State.ROLLED_BACK
    assert whole.holding() == set()
    assert 'rollbacks_total{action="create"}' in whole.counts()
    assert whole.run(TaskName.PATROL_GROUP, whole.group).startswith("no drift")
    whole.admin.plant("node1", whole.group)  # as a write that lands late would
    assert whole.run(TaskName.PATROL_GROUP, whole.group) == "drift on node1; 1 repairs begun"
    eventually(lambda: not whole.holding(), "it is repaired")
    assert whole.run(TaskName.PATROL).endswith(("groups", "another patrol is at it"))


def test_waves_bake_pass_their_gate_and_are_promoted(whole: Whole, client: ClusterClient) -> None:
    operation = client.create_group(whole.group, waves="1,100%", bake="0.2s", hold=True, health="/health")

    def promoted() -> bool:
        whole.run(TaskName.SWEEP)
        standing = operation.status().rollout
        if standing and standing.hold:
            operation.promote()
        return whole.read(operation.id).ended

    eventually(promoted, "it goes on, wave by wave")
    assert whole.read(operation.id).state is State.COMMITTED
    assert "round 1" in {span.attributes.get("lockstep.wave") for span in spans(whole) if span.attributes}


def test_what_nobody_of_ours_has_sent_is_dropped(whole: Whole, client: ClusterClient) -> None:
    queue = f"{whole.settings.key_prefix}celery:{OPERATIONS}"
    assert transport._transport_cache["lockstep-redis"] is Transport, "messages are taken together"
    redis = whole.store._client
    redis.lpush(queue, "no JSON", "{}", json.dumps({"body": "", "properties": {}}))
    assert client.create_group(whole.group).wait(timeout=PATIENCE).state is State.COMMITTED, "it goes on"
    assert "lockstep_messages_dropped_total 3.0" in whole.counts()


def test_the_worker_says_what_it_is_and_that_it_lives(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(whole.app.control, Control)
    (told,) = whole.app.control.broadcast("lockstep_about", reply=True, timeout=PATIENCE, limit=1)
    assert next(iter(told.values()))["lockstep"]
    eventually(lambda: probe.main(["live"]) == 0, "its heart beats")
    assert probe.main(["ready"]) == 0
    assert probe.main(["else"]) == 2
    assert probe.USAGE in capsys.readouterr().err


def test_each_task_and_call_is_a_span_that_names_the_operation(whole: Whole, client: ClusterClient) -> None:
    operation = client.create_group(whole.group)
    operation.wait(timeout=PATIENCE)

    def named() -> set[str]:
        found = [each for each in spans(whole) if each.attributes.get("lockstep.operation") == operation.id]
        return {each.name for each in found}

    eventually(lambda: {"run/lockstep.create_group", "run/lockstep.conclude"} <= named(), "both are exported")
    assert {"GET", "POST"} <= {each.name for each in spans(whole)}


def spans(whole: Whole) -> Any:
    """Those that have ended, exported."""
    provider = tracing.tracers("lockstep-worker")
    assert provider is not None
    provider.force_flush()
    return whole.spans.get_finished_spans()


def test_an_operation_of_which_there_is_no_record_is_told_of(whole: Whole) -> None:
    said = whole.run("lockstep.conclude", "0" * 12, GroupId("nobody"))
    assert "no record" in said
