"""Runs the Python examples of a page, one after the other, as one session."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
FLAGS = doctest.ELLIPSIS


def run_examples(page: str) -> doctest.TestResults:
    """Run every fenced block of Python with a prompt; what fails is printed, by the lines of the page."""
    text = (ROOT / page).read_text("utf-8")
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=FLAGS)
    names: dict[str, object] = {}
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start(1)].count("\n")
        test = parser.get_doctest(block[1], {}, page, page, line)
        test.globs = names
        runner.run(test, clear_globs=False)
    return runner.summarize()
