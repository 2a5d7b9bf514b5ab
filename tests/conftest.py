"""What every suite shares: how hypothesis behaves, and that no test is skipped unseen."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from lockstep.worker.process import secrets
from tests.skips import LISTED, may_be_skipped

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Nothing but this machine can be reached from its pages.
CHROMIUM_OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

# Examples that failed are kept with the other caches, not in the work tree.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parents[1] / ".venv" / ".cache" / "hypothesis")
)

# A busy machine is slow now and then; a time limit for one example would only report that.
settings.register_profile("lockstep", parent=settings(), deadline=None)
settings.load_profile("lockstep")


@pytest.fixture(autouse=True)
def secrets_of_one_test() -> Iterator[None]:
    """What one test takes for a secret is an ordinary word in the next one."""
    known = secrets._known
    before = {name: copy.copy(getattr(known, name)) for name in ("passing", "lasting", "forms")}
    yield
    secrets._known = known
    vars(known).update(before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without internet."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("no chromium on PATH; Debian has it: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=CHROMIUM_OPTIONS)
        yield started
        started.close()


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
