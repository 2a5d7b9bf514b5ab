"""Which tests run which line, so that a mutant is shown to those alone, the nearest first."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.mutants.layers import LIMIT, environment, pytest, ran

CONFIG = """\
[run]
dynamic_context = test_function
source_dirs =
    worker
    producer
"""
SOURCES = ("worker", "producer", "tests")
Lines = Mapping[int, Sequence[str]]
"""Line -> the tests that ran it."""


class AlreadyRed(Exception):
    """The tests fail without any mutant; the text says which."""


class LineTests:
    """The tests of each line of each file."""

    def __init__(self, files: Mapping[str, Lines]) -> None:
        self._files = files
        self._width = Counter(
            test for lines in files.values() for tests in lines.values() for test in set(tests)
        )

    def tests(self, path: str, first: int, last: int) -> list[str]:
        """Return the tests that ran any of these lines, or what they are a part of, the nearest first.

        What runs when a module is loaded alone is every test's of that file, and a file of which nothing else
        runs every test's. The nearest are those that run little besides the file.
        """
        lines = self._files.get(path, {})
        begin = max((line for line in lines if line <= first), default=0)
        found = {test for line, tests in lines.items() if begin <= line <= last for test in tests}
        here = Counter(test for tests in lines.values() for test in set(tests))
        found = found or set(here or self._width)
        return sorted(
            found, key=lambda test: (self._width[test] / (here[test] or 1), self._width[test], test)
        )


def line_tests(tree: Path, paths: Sequence[str], layers: Sequence[Sequence[str]], kept: Path) -> LineTests:
    """Run the tests of these paths, and the layers, once in a tree, or read what is kept of the same tree.

    Raises AlreadyRed if one of them fails.
    """
    sources = sorted(path for part in SOURCES for path in (tree / part).rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    if known.get("of") != digest:
        known = {"of": digest, "files": _covered(tree, paths), "content": []}
        kept.write_text(json.dumps(known), "utf-8")
    for layer in layers:
        if list(layer) not in known["content"]:
            done = ran(tree, layer, LIMIT)
            if done is None or done.returncode:
                raise AlreadyRed(f"without any mutant {' '.join(layer)} fails")
            known["content"].append(layer)
            kept.write_text(json.dumps(known), "utf-8")
    return LineTests(
        {path: {int(line): tests for line, tests in lines.items()} for path, lines in known["files"].items()}
    )


def _covered(tree: Path, paths: Sequence[str]) -> dict[str, Lines]:
    config, data = tree / "coveragerc", tree / "coverage"
    config.write_text(CONFIG, "utf-8")
    env = {**environment(tree), "COVERAGE_FILE": str(data), "COVERAGE_RCFILE": str(config)}

    def run(*arguments: str) -> int:
        command = [sys.executable, "-B", "-m", "coverage", *arguments]
        return subprocess.run(command, cwd=tree, env=env, check=False).returncode

    if run("run", *pytest(*paths)):
        raise AlreadyRed(f"without any mutant {' '.join(paths)} fails")
    run("json", "-q", "--show-contexts", "-o", str(report := tree / "report.json"))
    files = json.loads(report.read_text("utf-8"))["files"]
    found = {path: _by_line(each["contexts"], tree) for path, each in files.items()}
    return {path: lines for path, lines in found.items() if lines}


def _by_line(contexts: Mapping[str, Any], tree: Path) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for line, names in contexts.items():
        found[int(line)] += filter(None, (_node(name, tree) for name in names))
    return dict(found)


def _node(name: str, tree: Path) -> str:
    """Return `tests/unit/test_x.py::test_y` of `tests.unit.test_x.test_y`; empty for what is no test."""
    module, _, test = name.rpartition(".")
    path = module.replace(".", os.sep) + ".py"
    return f"{path}::{test}" if test.startswith("test_") and (tree / path).exists() else ""
