"""Remote control: a worker answers questions, obeys no orders, and replies only where replies belong."""

from __future__ import annotations

import time
import uuid
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery.worker import control

from lockstep.worker import tasks
from lockstep.worker.celery import make_app
from lockstep.worker.celery.broker.control import LOOKS, ControlNode
from lockstep.worker.settings import Settings

ORDERS = sorted(control.Panel.data.keys() - LOOKS)
URL = (
    "sentinel://u:SECRET-1@127.0.0.1:2,127.0.0.1:3/0?master=m&sentinel_username=x&sentinel_password=SECRET-2"
)
ASKER = str(uuid.uuid4())
BACK = {"exchange": "reply.celery.pidbox", "routing_key": ASKER}


class Heard:
    """A worker's node that notes what it runs and what it replies, and to whom."""

    def __init__(self, **settings: Any) -> None:
        self.app = make_app(Settings(**settings))
        self.ran: list[str] = []
        self.replies: list[tuple[str, Any]] = []
        handlers = {name: self._handler(name) for name in control.Panel.data}
        consumer = SimpleNamespace(controller=SimpleNamespace(stats=self._stats))
        state = SimpleNamespace(app=self.app, hostname="w@h", consumer=consumer, tset=set)
        mailbox: Any = vars(self.app.control)["mailbox"]
        self.node: Any = mailbox.Node("w@h", handlers=handlers, state=state)
        self.node.reply = self._reply

    def _handler(self, name: str) -> Any:
        def run(state: Any, **given: Any) -> Any:
            self.ran.append(name)
            return control.Panel.data[name](state, **given) if name in ("stats", "conf") else {"ok": name}

        return run

    def _reply(self, data: Any, exchange: str, routing_key: str, ticket: str) -> None:
        self.replies.append((routing_key, data))

    def _stats(self) -> dict[str, Any]:
        return {"pid": 1, "broker": dict(self.app.connection().info())}

    def told(self, method: Any, **more: Any) -> Any:
        self.node.handle_message({"method": method, "arguments": {}, "reply_to": BACK, "ticket": "t", **more})
        return self.replies.pop()[1]["w@h"] if self.replies else None


@pytest.mark.parametrize("method", sorted(LOOKS - {"stats", "conf"}))
def test_questions_are_answered(method: str) -> None:
    assert Heard().told(method) == {"ok": method}


@pytest.mark.parametrize(
    ("process", "ahead", "kept"),
    [
        ("flower@x", 7_000, True),
        ("flower@x.example", -7_000, True),
        ("operations@x", 7_000, False),
        ("flower@\x1b[2J", 7_000, False),
        ("flower@x", 10**400, False),
        ("flower@x", "7", False),
        (["flower@x"], 7_000, False),
    ],
)
def test_whoever_asks_may_tell_of_the_clock_of_a_flower_alone(
    process: object, ahead: object, kept: bool
) -> None:
    app = make_app(Settings())
    state = SimpleNamespace(app=app)
    tasks.clock(state, process=process, ahead=ahead, more=1)
    assert app.clocks == ({process: ahead} if kept else {})
    for number in range(50):
        tasks.clock(state, process=f"flower@{number}", ahead=number)
    assert len(app.clocks) == 10


def test_a_worker_that_is_asked_about_itself_tells_its_time_in_milliseconds() -> None:
    state = SimpleNamespace(app=make_app(Settings()))
    before = time.time()
    assert 1000 * before - 1 <= tasks.about(state)["now"] <= 1000 * time.time() + 1


@pytest.mark.parametrize("method", [*ORDERS, "no_such_command", ["ping"], None, {"a": 1}])
def test_orders_are_refused_in_one_line(method: Any, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    assert "is refused" in heard.told(method)["error"]
    assert not heard.ran
    assert len(caplog.messages) == 1
    assert "LOCKSTEP_REMOTE_CONTROL is not full" in caplog.text


@pytest.mark.parametrize("method", ["revoke", "shutdown", "add_consumer", "pool_shrink", "hello", "election"])
def test_whoever_wants_it_has_the_whole_of_it(method: str) -> None:
    heard = Heard(remote_control="full")
    assert heard.told(method) == {"ok": method}


def test_what_stops_workers_queues_or_tasks_is_an_order() -> None:
    assert {
        *("shutdown", "add_consumer", "cancel_consumer", "rate_limit", "time_limit", "revoke", "terminate"),
        *("pool_grow", "pool_shrink", "pool_restart", "autoscale", "hello", "election", "disable_events"),
    } <= set(ORDERS)


@pytest.mark.parametrize(
    "back",
    [
        {"exchange": "reply.celery.pidbox", "routing_key": "operations"},
        {"exchange": "operations", "routing_key": "operations"},
        {"exchange": "", "routing_key": ASKER},
        {"exchange": "reply.celery.pidbox", "routing_key": ASKER, "data": 1},
        {"exchange": "reply.celery.pidbox", "routing_key": ASKER.upper() + " "},
        {"exchange": ["reply.celery.pidbox"], "routing_key": ASKER},
        {"routing_key": ASKER},
        "reply.celery.pidbox",
        [1],
    ],
)
def test_a_reply_goes_nowhere_but_to_a_list_of_replies(back: Any, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard(remote_control="full")
    assert heard.told("ping", reply_to=back) is None
    assert not heard.ran
    assert "wants its reply where none belongs" in caplog.text


@pytest.mark.parametrize(
    "body", [None, [], "ping", 3, {"method": "ping", "destination": 5}, {"method": "ping", "self": 1}]
)
def test_what_is_no_message_is_dropped(body: Any) -> None:
    heard = Heard()
    assert heard.node.handle_message(body) is None
    assert not heard.ran


@pytest.mark.parametrize("mode", ["look", "full"])
def test_no_question_brings_a_pattern_along(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """One that is made for it is matched for years, and the worker does nothing else."""
    heard = Heard(remote_control=mode)
    assert heard.told("ping", pattern="((.|.)*)*X", matcher="pcre") is None
    assert not heard.ran
    assert caplog.messages == ["A message was dropped: as remote control it names workers by a pattern."]


@pytest.mark.parametrize("method", ["stats", "conf"])
@pytest.mark.parametrize("mode", ["look", "full"])
def test_no_answer_holds_a_password(method: str, mode: str) -> None:
    answer = Heard(redis_url=URL, remote_control=mode).told(method)
    assert answer
    assert "SECRET" not in repr(answer)


def test_stats_say_where_the_broker_is() -> None:
    assert Heard().told("stats") == {
        "pid": 1,
        "broker": {"transport": "redis", "hostname": "127.0.0.1", "port": 6379, "virtual_host": "0"},
    }


def test_a_reply_is_put_into_the_list_of_who_asked_is_tried_again_and_goes_in_a_minute() -> None:
    mailbox = MagicMock()
    node = ControlNode("w@h", mailbox=mailbox, channel="channel")
    node.reply({"w@h": "pong"}, ticket="t", **BACK)
    mailbox.producer_or_acquire.assert_called_once_with(None, "channel")
    producer = mailbox.producer_or_acquire.return_value.__enter__.return_value
    queue = f"{ASKER}.reply.celery.pidbox"
    said = {"ticket": "t", "clock": mailbox.clock.forward.return_value}
    producer.publish.assert_called_once_with(
        {"w@h": "pong"}, exchange="", routing_key=queue, headers=said, retry=True
    )
    redis = producer.channel.conn_or_acquire.return_value.__enter__.return_value
    redis.pexpire.assert_called_once_with(queue, 60_000)
