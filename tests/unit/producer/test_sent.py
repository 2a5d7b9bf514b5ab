"""What is sent for an operation that was accepted, and what is said of what could not be sent."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.producer.client.acceptance import PUBLISH_RETRIES, Broker, _carry
from lockstep.worker.operation.model import Action, GroupId, OperationId
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.settings import Settings

messages: Any = importlib.import_module("lockstep.worker.celery.messages")
HOSTS = ["node1", "node2", "node3"]


def request(waves: dict[str, int] | None) -> Any:
    rollout = None if waves is None else SimpleNamespace(waves=waves)
    hosts = [SimpleNamespace(name=name) for name in HOSTS]
    return SimpleNamespace(
        id=OperationId("mine"), group=GroupId("team-a"), action=Action.CREATE, hosts=hosts, rollout=rollout
    )


@pytest.mark.parametrize(
    ("waves", "names", "wave"),
    [
        (None, ("node1", "node2", "node3"), 0),
        ({"node1": 2, "node2": 1, "node3": 1}, ("node2", "node3"), 1),
        ({"node1": 1, "node2": 2, "node3": 3}, ("node1",), 1),
    ],
)
def test_tasks_are_sent_for_all_hosts_or_for_those_of_the_first_wave(
    monkeypatch: pytest.MonkeyPatch, waves: dict[str, int] | None, names: tuple[str, ...], wave: int
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(messages, "publish", lambda app, operation, claim: sent.append((operation, claim)))
    broker = Broker(Settings())
    assert broker.forward(request(waves))
    assert sent == [("mine", Claim(Phase.FORWARD, GroupId("team-a"), Action.CREATE, cast(Any, names), wave))]
    assert broker._celery() is broker._celery(), "it is built once"
    kept = broker._celery().conf.result_backend_transport_options["retry_policy"]
    assert kept == {"max_retries": PUBLISH_RETRIES} == {"max_retries": 3}
    closed: list[bool] = []
    monkeypatch.setattr(broker._celery(), "close", lambda: closed.append(True))
    broker.close()
    assert closed == [True]


def test_a_broker_that_sent_nothing_has_nothing_to_close() -> None:
    Broker(Settings()).close()


@pytest.mark.parametrize(
    ("error", "why", "of"),
    [
        (ConnectionRefusedError(111, "refused"), "refused", " of Redis' return"),
        (ValueError("no\n such  thing"), "(ValueError: no such thing)", ""),
    ],
)
def test_what_could_not_be_sent_is_told_with_when_the_sweep_sends_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, why: str, of: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    for name in ("publish", "publish_next"):
        monkeypatch.setattr(messages, name, fails)
    broker = Broker(Settings(sweep_patience=7.0, sweep_every=0.5))
    assert broker.forward(request(None)) is False
    broker.next(cast(Any, None), OperationId("mine"), GroupId("team-a"))
    accepted, decided = caplog.messages
    assert accepted.startswith('operation "mine" is accepted, but its tasks could not be sent (')
    assert decided.startswith('operation "mine" is decided, but its rollback could not be sent (')
    for said in (accepted, decided):
        assert why in said
        assert said.endswith(f"): the sweep sends them within about 7.5 s{of}")


def test_the_span_at_work_is_put_into_a_message_that_has_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opentelemetry.propagate.inject", lambda headers: headers.update(traceparent="here"))
    headers: dict[str, str] = {"id": "1"}
    _carry(headers, sender="task")
    assert headers == {"id": "1", "traceparent": "here"}
    empty: dict[str, str] = {}
    _carry(empty)
    _carry(None)
    assert empty == {}
