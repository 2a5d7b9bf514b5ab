"""What every suite shares: how hypothesis behaves, and that no test is skipped unseen."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.skips import LISTED, may_be_skipped

# Examples that failed are kept with the other caches, not in the work tree.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parents[1] / ".venv" / ".cache" / "hypothesis")
)

# A busy machine is slow now and then; a time limit for one example would only report that.
settings.register_profile("lockstep", parent=settings(), deadline=None)
settings.load_profile("lockstep")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for a reason for which it may not be."""
    report = yield
    if not hasattr(report, "wasxfail"):
        fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a whole file likewise."""
    report = yield
    fail_if_skipped(report)
    return report


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not may_be_skipped(reason):
            report.outcome = "failed"
            report.longrepr = (
                f"{reason}\nIn continuous integration no test is skipped unless tests/{LISTED.name} says so."
            )
