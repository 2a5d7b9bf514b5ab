"""In continuous integration a test is skipped for a listed reason or fails."""

from __future__ import annotations

import os
import sys
import tomllib
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.skips import LISTED, may_be_skipped
from tests.waits import PATIENCE

# What a pytest of its own is given to run: none of these is a test of ours.
FILE = """
import pytest

def test_skipped():
    pytest.skip("{reason}, they say")

@pytest.mark.xfail(reason="a sample, to see that one known to fail is none that is skipped", strict=True)
def test_known_to_fail():
    assert False

def test_passed():
    pass
"""
MODULE = """
import pytest
pytest.importorskip("a_module_that_is_not_here", reason="{reason}, they say")
"""


def ran(folder: Path, text: str, ci: str) -> tuple[int, str]:
    path = folder / "test_given.py"
    path.write_text(text)
    options = ["-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull]

    def run() -> None:
        os.environ["CI"] = ci
        os.environ.pop("PYTEST_ADDOPTS", None)
        with (folder / "said").open("w") as said, redirect_stdout(said):
            status = pytest.main([*options, f"--rootdir={folder}", str(path)])
        sys.exit(status)

    child = get_context("fork").Process(target=run, daemon=True)  # which has imported all of pytest already
    child.start()
    child.join(PATIENCE)
    assert child.exitcode is not None, "it hangs"
    return child.exitcode, (folder / "said").read_text("utf-8")


@pytest.mark.parametrize("text", [FILE, MODULE])
def test_a_skip_that_is_not_listed_fails_where_ci_is_set(tmp_path: Path, text: str) -> None:
    status, said = ran(tmp_path, text.format(reason="it rains"), "true")
    assert status != 0
    assert "it rains, they say" in said
    assert "unless tests/skips.toml says so" in said
    assert "1 skipped" not in said
    if text == FILE:
        assert "1 failed, 1 passed, 1 xfailed" in said


@pytest.mark.parametrize(("reason", "ci"), [("it rains", ""), ("no container can be run here", "true")])
def test_other_skips_are_skips(tmp_path: Path, reason: str, ci: str) -> None:
    status, said = ran(tmp_path, FILE.format(reason=reason), ci)
    assert status == 0
    assert "1 passed, 1 skipped, 1 xfailed" in said


def test_every_reason_says_why() -> None:
    listed = tomllib.loads(LISTED.read_text("utf-8"))["may_be_skipped"]
    assert all(len(each["why"]) > len(each["reason"]) > 10 for each in listed)


def test_a_reason_is_known_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert may_be_skipped("Skipped: no container can be run here (unshare: Operation not permitted)")
    assert not may_be_skipped("perhaps no container can be run here")
