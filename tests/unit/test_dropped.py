"""What becomes of messages that are no task's, and of tasks whose message is left to another worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]
from celery import signals
from celery.exceptions import InvalidTaskError
from celery.worker import consumer
from celery.worker.state import active_requests
from kombu.exceptions import (  # type: ignore[attr-defined]
    BatchPublishError,
    LimitExceeded,
    OperationalError,
)
from kombu.transport import virtual

from lockstep.worker.celery import Lockstep, TaskName, make_app, messages
from lockstep.worker.celery.broker import links
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId
from lockstep.worker.operation.transitions import Claim, Phase
from lockstep.worker.settings import Settings
from lockstep.worker.tasks import received as receiving
from lockstep.worker.tasks.received import MessageLeft, MessageLeftToNewer
from tests.unit.test_waits import received

OPERATION, GROUP = OperationId("op"), GroupId("team-a")


class Message:
    """One that is delivered."""

    body = "x" * 70

    def __init__(self) -> None:
        self.rejected = 0

    def reject_log_error(self, *_: object) -> None:
        self.rejected += 1


@pytest.fixture
def taking() -> Any:
    """A consumer without a worker."""
    made: Any = object.__new__(receiving.Consumer)
    made.connection_errors = (ConnectionError,)
    return made


@pytest.mark.parametrize(
    ("tell", "why"),
    [
        (lambda to, m: to.on_unknown_message("", m), "it is no task's"),
        (lambda to, m: to.on_unknown_task("", m, KeyError("canary")), "there is no such task"),
        (lambda to, m: to.on_invalid_task("", m, InvalidTaskError("its id is no name")), "its id is no name"),
        (lambda to, m: to.on_invalid_task("", m, TypeError("canary")), "TypeError"),
        (lambda to, m: to.on_decode_error(m, ValueError("canary")), "its body cannot be read, ValueError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_message_that_is_dropped_is_told_of_without_its_content(
    taking: Any, tell: Callable[[Any, Message], None], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    message, counted = Message(), list[object]()

    def count(**told: object) -> None:
        counted.append(told["message"])

    signals.task_rejected.connect(count)
    tell(taking, message)
    signals.task_rejected.disconnect(count)
    assert (message.rejected, counted) == (1, [None])
    assert caplog.messages == [f"A message of 70 bytes was dropped: {why}."]


def test_what_celery_cannot_take_is_dropped_and_a_lost_connection_is_not(
    taking: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[Exception] = [RecursionError("deep"), ConnectionError("gone")]

    def handle(_: object) -> None:
        raise raised.pop(0)

    monkeypatch.setattr(consumer.Consumer, "create_task_handler", lambda *_: handle)
    take, message = taking.create_task_handler(), Message()
    take(message)
    assert caplog.messages == ["A message of 70 bytes was dropped: RecursionError."]
    with pytest.raises(ConnectionError):
        take(message)
    assert message.rejected == 1


class Broker:
    """Whoever wants to publish comes here first."""

    def __init__(self, raised: Exception) -> None:
        self.raised = raised

    def acquire(self, **_: object) -> object:
        raise self.raised


@pytest.fixture(scope="module")
def app() -> Lockstep:
    made = make_app(Settings(hosts="http://node1"))
    made.loader.import_default_modules()
    return made


@pytest.mark.parametrize("wrapped", [False, True], ids=["of a thread", "of a child process"])
@pytest.mark.parametrize(
    ("left", "to"), [(MessageLeft, "another worker"), (MessageLeftToNewer, "a newer worker")]
)
def test_a_message_that_is_left_frees_its_place_and_is_neither_acknowledged_nor_given_back(
    app: Lockstep, left: type[Exception], to: str, wrapped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    request, told, events = received(app), list[str](), list[object]()
    request.send_event = lambda name, **fields: events.append((name, fields))
    request.message.delivery_tag = "tag"
    channel: Any = SimpleNamespace(do_restore=False)
    channel.qos, request.message.channel = links.QoS(channel, prefetch_count=1), channel
    virtual.QoS.append(channel.qos, request.message, "tag")
    request._on_ack = request._on_reject = lambda *_: told.append("the broker")
    active_requests.add(request)
    error: Exception = left("its record is newer")
    if wrapped:
        error = ExceptionWithTraceback(error, None)

    assert not channel.qos.can_consume()
    request.on_failure(SimpleNamespace(exception=error))
    assert channel.qos.can_consume()
    assert request not in active_requests
    request.on_failure(SimpleNamespace(exception=error))  # told once more, it does nothing more
    assert (request.acknowledged, told) == (True, [])
    assert events == [("task-rejected", {"requeue": True})]
    assert caplog.messages == [f"{request.name}[id] is left to {to}: its record is newer"]


@pytest.mark.parametrize(("hosts", "most"), [(3, 1), (120, 16)])
def test_what_is_to_settle_is_cut_into_tasks_that_have_each_host_once(
    app: Lockstep, hosts: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(HostName(f"node{number}") for number in range(hosts))
    sent: list[tuple[str, tuple[str, ...]]] = []

    def publish(_: object, task: str, calls: Sequence[tuple[str, ...]]) -> None:
        sent.extend((task, each) for each in calls)

    claim = Claim(Phase.SETTLE, GROUP, Action.CREATE, names)
    monkeypatch.setattr(messages, "_publish", publish)
    asked: list[object] = []

    def claims(*how: object, resume: bool) -> Claim:
        asked.append((*how, resume))
        return claim

    store: Any = SimpleNamespace(claim=claims)
    assert messages.publish_next(app, store, OPERATION) is claim
    assert asked == [(OPERATION, False)], "what has waited for long is the sweep's"
    assert {task for task, _ in sent} == {TaskName.SETTLE}
    assert all(call[:2] == (OPERATION, GROUP) and len(call) <= 2 + most for _, call in sent)
    assert tuple(name for _, call in sent for name in call[2:]) == names


CUT_IN_HALF = BatchPublishError("delivery is uncertain")
CUT_IN_HALF.__cause__ = ConnectionError("cut off")


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (LimitExceeded(), "the broker is out of reach: all connections"),
        (CUT_IN_HALF, "the broker is out of reach: cut off"),
        (ConnectionError("refused"), "the broker is out of reach: refused"),
        (AttributeError("'NoneType' has no client"), "the broker went away while"),
    ],
)
def test_a_broker_out_of_reach_is_one_error(
    app: Lockstep, raised: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(app), "pool", Broker(raised))
    with pytest.raises(OperationalError, match=words):
        messages.publish_conclude(app, OPERATION, GROUP)


def test_a_mistake_of_ours_is_not_taken_for_the_brokers(
    app: Lockstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> object:
        raise AttributeError("ours")

    monkeypatch.setattr(messages, "headers_for", mistaken)
    with pytest.raises(AttributeError, match="ours"):
        messages.publish_conclude(app, OPERATION, GROUP)
