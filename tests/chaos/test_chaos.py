"""The quick tier, as a test: a broken rule fails it, and so does a run in which too little happened."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import run_tier
from tests.chaos.tiers import TIERS


@pytest.mark.timeout(1800)
def test_no_rule_is_broken_while_everything_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    say("")
    assert run_tier(list(TIERS["quick"]), say)
