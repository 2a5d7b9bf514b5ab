from __future__ import annotations

import logging
from typing import Any

import pytest
from celery.backends import redis as backends
from celery.signals import celeryd_after_setup
from kombu.transport import TRANSPORT_ALIASES

from lockstep.worker.celery import broker
from lockstep.worker.celery.broker import links
from lockstep.worker.connection import primary


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celeryd_after_setup, "receivers", [])
    monkeypatch.setattr(links.QoS, "gives_back", links.QoS.gives_back)
    for name in (links.REDIS, links.SENTINEL):
        monkeypatch.setitem(TRANSPORT_ALIASES, name, TRANSPORT_ALIASES[name])
    links.register(links.__name__)


def test_this_kombu_is_one_that_the_transport_was_tested_with(caplog: pytest.LogCaptureFixture) -> None:
    assert broker.install("own")
    assert TRANSPORT_ALIASES[links.REDIS] == "lockstep.worker.celery.broker.transport:Transport"
    celeryd_after_setup.send(sender="worker")
    assert not caplog.records


@pytest.mark.parametrize(
    ("wanted", "release", "why"),
    [("stock", "5.7.0", "LOCKSTEP_BROKER=stock"), ("own", "5.8.1", "not tested with kombu 5.8.1")],
)
def test_the_transport_steps_aside_and_says_so_once(
    wanted: str, release: str, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "version", lambda _: release)
    for _ in range(2):
        assert not broker.install(wanted)  # type: ignore[arg-type]
    assert links.QoS.gives_back, "as a worker has to"
    assert TRANSPORT_ALIASES[links.REDIS] == "lockstep.worker.celery.broker.links:Transport"
    with caplog.at_level(logging.WARNING):
        celeryd_after_setup.send(sender="worker")
    (said,) = caplog.messages
    assert why in said


@pytest.mark.parametrize(
    ("name", "plain", "tls"),
    [(None, primary.Primary, primary.TlsPrimary), ("m", primary.FoundPrimary, primary.FoundTlsPrimary)],
)
def test_a_channel_knows_a_primary_by_its_name_or_by_that_of_its_sentinels(
    name: str | None, plain: type, tls: type
) -> None:
    channel = links.Channel.__new__(links.Channel)
    channel.master_name = name
    assert (channel.connection_class, channel.connection_class_ssl) == (plain, tls)


def test_celery_still_says_what_is_changed_of_its_script() -> None:
    assert backends.CHORD_PART_RETURN_LUA.count(links.EXPIRES) == 1
    assert links.EXPIRES not in links.PART


WHERE = {"exchange": "", "routing_key": "q"}
INFO: dict[str, Any] = {"delivery_tag": "t", "delivery_info": WHERE, "body_encoding": "base64"}
MESSAGE: dict[str, Any] = {"body": "aGk=", "content-type": "text", "headers": {}, "properties": INFO}


def changed(**how: object) -> dict[str, Any]:
    """Return a message with some of its properties changed, or left out for None."""
    said = {**INFO, **how}
    return {**MESSAGE, "properties": {name: each for name, each in said.items() if each is not None}}


@pytest.mark.parametrize(
    ("message", "is_one"),
    [
        (MESSAGE, True),
        ({"properties": INFO}, True),
        ({**MESSAGE, "body": None, "content-type": None, "headers": None}, True),
        ({**MESSAGE, "headers": {"id": 1}}, True),
        (changed(body_encoding=None), True),
        ({**changed(body_encoding=""), "body": "no base64: {"}, True),
        (changed(delivery_tag=""), False),
        (changed(delivery_tag=1), False),
        (changed(delivery_info={"exchange": ""}), False),
        (changed(delivery_info={**WHERE, "exchange": 1}), False),
        (changed(delivery_info={**WHERE, "routing_key": None}), False),
        (changed(body_encoding="utf-8"), False),
        ({**MESSAGE, "body": "abcde"}, False),
        ({**MESSAGE, "body": 1}, False),
        ({**changed(body_encoding=None), "body": 1}, False),
        ({**MESSAGE, "content-type": 1}, False),
        ({**MESSAGE, "headers": [1]}, False),
        ({"body": "aGk="}, False),
        (None, False),
    ],
)
def test_what_is_a_message(message: object, is_one: bool) -> None:
    assert links.deliverable(message) is is_one
