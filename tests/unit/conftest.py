"""What tests of the host client share: each of them runs over every way to carry a call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lockstep.worker.hosts import direct, pooled
from lockstep.worker.hosts.direct import carrier
from lockstep.worker.hosts.guard import Exchange


@pytest.fixture(params=[pooled, direct], ids=["pooled", "direct"])
def exchange(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """Carry this test's calls in one way, then in the other."""
    direct._idle.clear()  # of an earlier test's
    carried: Exchange = request.param.exchange
    before = carrier.set(carried)
    yield carried
    carrier.reset(before)


@pytest.fixture
def by_requests() -> Iterator[None]:
    """Carry this test's calls by requests, for which `responses` can stand in."""
    before = carrier.set(pooled.exchange)
    yield
    carrier.reset(before)
