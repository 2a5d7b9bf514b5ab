"""What tests of the host client share: each of them runs over every way to carry a call."""

from __future__ import annotations

import pytest

from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Carry
from tests.unit import client


@pytest.fixture(params=[looks.exchange, curl.exchange], ids=["requests", "libcurl"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Carry:
    """Carry this test's calls in one way, then in the other."""
    carried: Carry = request.param
    monkeypatch.setattr(client, "carry", carried)
    return carried


@pytest.fixture
def by_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry this test's calls by requests, for which `responses` can stand in."""
    monkeypatch.setattr(client, "carry", looks.exchange)
