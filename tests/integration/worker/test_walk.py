"""The two main roads through the code stay short."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.unit.test_the_walk import ROOT, WALK
from tests.waits import PATIENCE

OPERATION, ANSWER = 28, 12
"""Files that the page may say at most."""
RACES = 1
"""Files that a worker may enter while the caller is being answered: it sends the callback meanwhile."""


def test_an_operation_enters_no_more_files_than_the_page_says() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.walk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    found = [int(number) for number in re.findall(r": (\d+) files$", ran.stdout, re.MULTILINE)]
    said = re.search(r"enters (\d+) files of worker and producer,\nan answer (\d+)\.", WALK)
    assert said is not None
    assert len(found) == 2
    assert found[0] <= int(said[1]) + RACES, ran.stdout
    assert found[1] <= int(said[2]), ran.stdout
    assert int(said[1]) <= OPERATION
    assert int(said[2]) <= ANSWER
