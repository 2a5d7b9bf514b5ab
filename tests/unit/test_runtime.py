"""What a worker process is built of: who is spared, and who looks after a token."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery import signals

from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Call
from lockstep.worker.hosts.wrappers import BreakerHost
from lockstep.worker.operation.answer import HostApi, LookAnswer, LookVerdict, Reply
from lockstep.worker.operation.content import Effect, Shown, Sight, WriteAnswer
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName, OperationId
from lockstep.worker.operation.transitions import Order
from lockstep.worker.settings import Settings
from lockstep.worker.steps.apply import StepContext
from lockstep.worker.steps.looks import PatrolTimes
from lockstep.worker.tasks import run, runtime
from lockstep.worker.tasks.runtime import Orders, Runtime, Runtimes, WatchedHost, build_runtime
from lockstep.worker.tasks.tasks import beat_of
from tests.waits import PATIENCE

NODE1 = HostName("node1")


def built() -> StepContext:
    return build_runtime(Settings(hosts="http://node1:1")).context


def chain(api: HostApi | None) -> list[type]:
    """The kinds of the hosts, from the outermost to the one that calls."""
    found: list[type] = []
    while api is not None:
        found.append(type(api))
        api = getattr(api, "host", None) if not isinstance(api, WatchedHost) else None
    return found


def test_only_forward_steps_spare_a_host() -> None:
    context = built()
    assert chain(context.host_to_apply(NODE1)) == [BreakerHost, WatchedHost]
    assert chain(context.host(NODE1)) == [WatchedHost]


def test_every_host_of_a_process_shares_one_breaker() -> None:
    context = built()
    first, second = context.host_to_apply(NODE1), context.host_to_apply(NODE1)
    assert isinstance(first, BreakerHost)
    assert isinstance(second, BreakerHost)
    assert first.breaker is second.breaker


@pytest.mark.parametrize("asked", ["host", "host_to_apply"])
def test_a_token_is_looked_after_whoever_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    inventory, token = tmp_path / "hosts.yaml", tmp_path / "token"
    inventory.write_text(f"hosts: [{{name: node1, url: 'http://node1', token_file: {token}}}]")
    token.write_text("old")

    def exchange(call: Call) -> Reply:
        if call.headers["Authorization"] == "Bearer new":
            return Reply(404)
        token.with_suffix(".new").write_text("new")
        token.with_suffix(".new").replace(token)
        return Reply(401)

    monkeypatch.setattr(curl, "exchange", exchange)
    host = getattr(build_runtime(Settings(inventory=str(inventory))).context, asked)(NODE1)
    assert host.look_at_group(GroupId("team-a")).verdict is LookVerdict.SEEN


def test_a_host_that_nobody_knows_is_none() -> None:
    context = built()
    assert context.host(HostName("node9")) is None
    assert context.host_to_apply(HostName("node9")) is None


def test_threads_that_begin_at_the_same_time_share_one_runtime() -> None:
    """Otherwise each would have a breaker of its own."""
    together = threading.Barrier(2, timeout=0.2)

    def build(_: object) -> object:
        try:
            together.wait()
        except threading.BrokenBarrierError:
            return "built alone"
        return "built twice"

    app = Mock(build_runtime=build)
    with ThreadPoolExecutor(2) as pool:
        built_by_each: list[Any] = list(pool.map(runtime.Runtimes().of, [app, app]))
    assert built_by_each == ["built alone"] * 2


class Records:
    """The orders that there are, and which of them were read."""

    def __init__(self, **orders: Order) -> None:
        self.orders = {OperationId(key): order for key, order in orders.items()}
        self.reads: list[str] = []

    def read(self, operation: OperationId) -> Order | None:
        self.reads.append(operation)
        return self.orders.get(operation)


def order(group: str, *hosts: str) -> Order:
    return Order(GroupId(group), Action.CREATE, frozenset(map(HostName, hosts)))


def test_an_order_is_read_once_and_again_when_a_message_says_otherwise() -> None:
    records = Records(o=order("g", "node1"))
    orders = Orders(records.read)
    for _ in range(3):
        assert orders.of(OperationId("o"), lambda each: each.group == "g") == order("g", "node1")
    assert records.reads == ["o"]
    records.orders[OperationId("o")] = order("h", "node2")  # dropped, and its id used again
    for _ in range(2):
        assert orders.of(OperationId("o"), lambda each: each.group == "h") == order("h", "node2")
    assert records.reads == ["o", "o"]


def test_steps_read_an_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(o=order("g", "node1"))
    made = Runtime(Settings(), Mock(order=records.read), lambda _: None, lambda _: None)
    for _ in range(3):
        assert made.context.order(OperationId("o")) == order("g", "node1")
    assert records.reads == ["o"]


def test_who_rests_looks_ten_times_a_second_whether_it_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: 100 + sum(slept), sleep=slept.append)
    monkeypatch.setattr(run, "time", clock)
    monkeypatch.setattr(run, "stopping", lambda: len(slept) > 5)
    run.rest(0.25)
    assert slept == pytest.approx([0.1, 0.1, 0.05], abs=1e-6)
    run.rest(1)
    assert len(slept) == 6, "and then it stops"


def test_an_operation_that_is_unknown_is_looked_for_each_time() -> None:
    records = Records()
    orders = Orders(records.read)
    assert orders.of(OperationId("o"), lambda _: True) is None
    records.orders[OperationId("o")] = order("g", "node1")
    assert orders.of(OperationId("o"), lambda _: True) == order("g", "node1")


def test_only_the_orders_used_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MOST_NAMES", 4)  # two of two names each
    records = Records(**dict.fromkeys("abc", order("g", "node1")), d=order("g", *"xyzuvw"))
    orders = Orders(records.read)
    for key in "abacabdda":  # d alone is more than so many names
        orders.of(OperationId(key), lambda _: True)
    assert records.reads == [*"abcbda"]


def test_a_worker_that_is_told_to_stop_rests_no_longer_and_one_that_starts_is_not_told() -> None:
    signals.worker_init.send(None)
    began = time.monotonic()
    run.rest(0.05)
    assert time.monotonic() - began >= 0.05
    signals.worker_shutting_down.send(None)
    assert runtime.stopping()
    run.rest(PATIENCE)
    assert time.monotonic() - began < PATIENCE
    signals.worker_init.send(None)
    assert not runtime.stopping()


def test_a_forked_process_has_a_runtime_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    app, left = Mock(build_runtime=lambda _: object()), Mock()
    monkeypatch.setattr(runtime, "leave_to_parent", left)
    runtimes = Runtimes()
    before = runtimes.of(app)
    assert runtimes.of(app) is before
    runtimes.start_anew()
    left.assert_called_with(before)
    assert runtimes.of(app) is not before


def test_no_application_is_given_the_runtime_of_one_that_is_gone() -> None:
    """A new application may be where the old one was in memory, and have its id."""
    runtimes = Runtimes()
    gone = weakref.ref(runtimes.of(Mock(build_runtime=lambda _: Mock())))
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("effect", "level"), [(each, "DEBUG" if each is Effect.APPLIED else "INFO") for each in Effect]
)
def test_only_what_went_as_it_should_is_no_line_of_a_log(
    caplog: pytest.LogCaptureFixture, effect: Effect, level: str
) -> None:
    caplog.set_level(logging.DEBUG)
    host = Mock(write=Mock(return_value=WriteAnswer(effect, "201")))
    runtime.WatchedHost(host).write(Action.CREATE, GroupId("g"), AttemptId("a"), 0.0)
    assert [each.levelname for each in caplog.records] == [level]


def test_what_a_host_says_is_counted_in_a_word_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr(runtime, "count", lambda *what: counted.append(what))
    host = Mock()
    host.look_at_group.return_value = LookAnswer(LookVerdict.MISCONFIGURED, "403")
    host.look_at_thing.return_value = Shown(Sight.ABSENT, text="404")
    host.unwell.side_effect = [None, "503"]
    watched: Any = runtime.WatchedHost(host)
    watched.look_at_group(GroupId("g"))
    watched.look_at_thing(None, None)
    assert [watched.unwell("/health") for _ in range(2)] == [None, "503"]
    seen, gate = ["no information, and a configuration error", "absent"], ["well", "unwell"]
    assert counted == [("attempts", "look", each) for each in seen] + [
        ("attempts", "health", each) for each in gate
    ]
    assert caplog.messages == ["look: 403", "look: 404"]


def test_who_is_spared_is_told_by_a_client_that_gives_up_within_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Mock()
    monkeypatch.setattr(runtime, "impatient_client", asked)
    built()
    assert asked.call_args.args[1] == 1.0


def test_the_patrols_times_are_in_milliseconds() -> None:
    given = Settings(patrol_every=300, patrol_hours=2, repair_minutes=3, call_timeout=15, deadline=900)
    assert beat_of(given) == PatrolTimes(300_000, 3_600_000, 7_200_000, 180_000, 30_000, 900_000)
