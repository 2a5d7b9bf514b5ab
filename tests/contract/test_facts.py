"""What Redis says of itself."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import redis

from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.record.link import Link, RedisFacts


def test_a_redis_that_still_reads_its_file_is_not_asked_how_it_is(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Mock(ping=Mock(side_effect=redis.BusyLoadingError("it reads its file")))
    monkeypatch.setattr(link, "_client", client)
    with pytest.raises(StoreUnavailable):
        link.facts()
    client.info.assert_not_called()
    monkeypatch.undo()
    facts = link.facts()
    assert (facts.clients > 0, facts.most_clients > 0, facts.replicas) == (True, True, 0)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, RedisFacts("None", False, None, None, 0, 0)),
        (
            {"redis_version": "7.2.4", "valkey_version": "9.1.2", "aof_enabled": 0, "maxmemory": 5},
            RedisFacts("9.1.2", False, None, None, 0, 5),
        ),
        (
            {"redis_version": "7.4.1", "aof_enabled": 1, "connected_slaves": 2, "connected_clients": 3},
            RedisFacts("7.4.1", True, None, None, 0, 0, 3, 0, 2),
        ),
    ],
)
def test_what_redis_does_not_say_of_itself_is_nothing(
    link: Link, monkeypatch: pytest.MonkeyPatch, said: dict[str, object], found: RedisFacts
) -> None:
    client = Mock(info=lambda: said, config_get=Mock(side_effect=redis.ResponseError("unknown command")))
    monkeypatch.setattr(link, "_client", client)
    assert link.facts() == found
    monkeypatch.undo()
