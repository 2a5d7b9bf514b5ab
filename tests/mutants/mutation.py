"""Make every small change of the core, one at a time, and see whether a test fails.

`python -m tests.mutants.mutation` takes hours and may be ended at any time: what is known is kept in
`build/mutation.jsonl` and is not tried again until the file that was changed changes. `--only WORD` tries
files whose path holds a word, `--sample N` so many mutants of each folder. Survivors for which
`survivors.toml` gives a reason are no findings; it ends with 1 when there are others.

A mutant of Python is shown to the tests that run its line, one of Lua to the contract of the record; what
caught others of the same file comes first. What nobody caught is shown to the last layers of its folder:
tests that run whole workers and commands in processes of their own, which import the broken copy, too. As
many are tried at once as there are processors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.covering import Failing, covering
from tests.mutants.layers import COMMANDS, RECORD, WORKERS, pytest, ran
from tests.mutants.tree import BESIDE, PARTS, ROOT, copied

TOOL = ROOT / ".venv-mutation" / "bin" / "python"
RESULTS = ROOT / "build" / "mutation.jsonl"
REASONS = Path(__file__).with_name("survivors.toml")
SIMULATED = ("-m", "tests.mutants.simulate", "1500")
LIMIT = 900
"""Seconds for one layer; what takes longer has noticed the mutant."""
STUCK = "--timeout=40"
"""Seconds for one test; what takes longer has noticed it, too."""
FIRST = 12
"""Tests that are run by themselves first: those that caught the most in the file, and the narrowest."""

JUDGES = (
    *("tests/unit", "--ignore=tests/unit/benchmarks", "--ignore=tests/unit/fuzz"),
    *("tests/integration/broker", *RECORD[RECORD.index("tests/contract") :]),
)
"""The tests that may catch a mutant of Python."""
CORE: dict[str, tuple[tuple[str, ...], ...]] = {
    "worker/record/lua": (),
    "worker/steps": (SIMULATED, WORKERS),
    "worker/record": (COMMANDS, WORKERS),
    "worker/operation": (SIMULATED, COMMANDS),
    "worker/tasks": (SIMULATED, WORKERS),
    "worker/celery/broker": (WORKERS,),
}
"""Folder -> what a mutant there is shown to last."""
LAST = sorted({layer for layers in CORE.values() for layer in layers})


Result = dict[str, object]
"""A mutant, and what caught it."""


def folder_of(path: str) -> str:
    """Return which part of the core a file is in."""
    return next(folder for folder in CORE if path.startswith(f"{folder}/"))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    operator: str
    line: int
    old: str
    new: str

    @property
    def id(self) -> str:
        """A name that stays the same while the file does."""
        text = (ROOT / self.path).read_bytes()
        return hashlib.sha256(text + repr(self).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        """Which part of the core it is in."""
        return folder_of(self.path)

    def applied(self, root: Path) -> str:
        """Return the file with the change made."""
        lines = (root / self.path).read_text("utf-8").split("\n")
        last = self.line - 1 + len(self.old.split("\n"))
        assert "\n".join(lines[self.line - 1 : last]) == self.old, f"{self.path} has changed"
        return "\n".join([*lines[: self.line - 1], *self.new.split("\n"), *lines[last:]])


def made(path: Path) -> Iterator[Mutant]:
    """Return the mutants of one file, each once."""
    tool = Path(__file__).with_name("operators.py")
    digest = hashlib.sha256(path.read_bytes() + tool.read_bytes()).hexdigest()[:16]
    listed = RESULTS.with_name("mutants") / f"{path.name}-{digest}.jsonl"
    if not listed.exists():
        told = subprocess.run([TOOL, "-B", tool, path], capture_output=True, text=True, check=True).stdout
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text(told, "utf-8")
    told = listed.read_text("utf-8")
    seen: set[tuple[int, str, str]] = set()
    for line in told.splitlines():
        found = json.loads(line)
        change = (found["line"], found["old"], found["new"])
        if change not in seen:
            seen.add(change)
            yield Mutant(str(path.relative_to(ROOT)), **found)


def all_of(word: str) -> Iterator[Mutant]:
    """Return the mutants of the core's files whose path holds a word."""
    for folder in CORE:
        for path in sorted((ROOT / folder).glob("*/*.lua" if folder.endswith("lua") else "*.py")):
            if word in str(path.relative_to(ROOT)):
                yield from made(path)


def failure(tree: Path, layer: Sequence[str]) -> str:
    """Run a layer in a tree; return what failed first, or an empty text."""
    done = ran(tree, layer, LIMIT)
    if done is None:
        return f"{layer[-1]}: no end"
    if not done.returncode:
        return ""
    failed = re.search(r"^(?:(?:FAILED|ERROR) tests/|seed ).*", done.stdout, re.MULTILINE)
    return failed[0][:160] if failed else f"{layer[-1]}: exit status {done.returncode}"


def noticed(tree: Path, layer: Sequence[str]) -> str:
    """Do as `failure` does; whole workers can be late on a busy machine, so they have to fail twice."""
    failed = failure(tree, layer)
    return failure(tree, layer) if failed and layer in LAST else failed


class Trial:
    """Shows mutants to the tests, each in a copy of the tree that nobody else uses meanwhile."""

    def __init__(self, trees: Sequence[Path], results: dict[str, Result]) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for tree in trees:
            self._free.put(tree)
        self._results = results
        self._covering = covering(trees[0], JUDGES, LAST, RESULTS.with_name("covering.json"))

    def caught(self, mutant: Mutant) -> Result:
        """Try one; return it with what caught it, an empty text if nothing did."""
        tree, began = self._free.get(), time.monotonic()
        target = tree / mutant.path
        whole = target.read_text("utf-8")
        target.write_text(mutant.applied(tree), "utf-8")
        try:
            by = next(filter(None, (noticed(tree, layer) for layer in self._layers(mutant))), "")
        finally:
            target.write_text(whole, "utf-8")
            self._free.put(tree)
        return {
            "id": mutant.id,
            **asdict(mutant),
            "caught": by,
            "seconds": round(time.monotonic() - began),
        }

    def _layers(self, mutant: Mutant) -> Iterator[Sequence[str]]:
        last = mutant.line + mutant.old.count("\n")
        tests = self._covering.tests(mutant.path, mutant.line, last)
        lua = mutant.path.endswith(".lua")
        earlier = Counter(
            test
            for each in tuple(self._results.values())
            if each["path"] == mutant.path and (test := _test_of(str(each["caught"])))
        )
        first = [test for test, _ in earlier.most_common(FIRST) if lua or test in tests]
        first += [test for test in tests if test not in first][: FIRST - len(first)]
        if first:
            yield pytest(STUCK, *first)
        if lua:
            yield pytest(STUCK, *RECORD[RECORD.index("tests/contract") :])
        elif len(tests) > len(first):
            yield pytest(STUCK, *(test for test in tests if test not in first))
        yield from CORE[mutant.folder]


def _test_of(caught: str) -> str:
    """Return the test, without its parameters, that a line of pytest's names."""
    found = re.match(r"(?:FAILED|ERROR) (tests/\S+?\.py::\w+)", caught)
    return found[1] if found else ""


def known() -> dict[str, Result]:
    """Return what earlier runs found."""
    if not RESULTS.exists():
        return {}
    lines = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    return {str(each["id"]): each for each in lines}


def reasons() -> list[dict[str, str]]:
    """Return the survivors that are known to be equivalent or harmless."""
    found: list[dict[str, str]] = tomllib.loads(REASONS.read_text("utf-8")).get("survivor", [])
    return found


def excused(mutant: Mapping[str, object], listed: Sequence[Mapping[str, str]]) -> str:
    """Return why a survivor may be; empty if nobody says so."""
    for each in listed:
        there = each.get("path", mutant["path"]) == mutant["path"] and each["line"] in str(mutant["old"])
        if there and each.get("becomes", "") in str(mutant["new"]):
            return each["why"]
    return ""


def main() -> int:
    """Try what is not known yet, and sum up."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.mutation", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many of each folder")
    parser.add_argument("--seed", type=int, default=1, help="draws the sample, and the order")
    parser.add_argument("--list", action="store_true", help="sum up what is known, and try nothing")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell starts what is deaf
    if not given.list:
        os.nice(19)
    every, results = list(all_of(given.only)), known()
    random.Random(given.seed).shuffle(every)
    taken: Counter[str] = Counter()
    chosen: list[Mutant] = []
    for each in every:
        taken[each.folder] += 1
        if taken[each.folder] <= (given.sample or len(every)):
            chosen.append(each)
    todo = [] if given.list else [each for each in chosen if each.id not in results]
    print(f"{len(every)} mutants, {len(chosen)} chosen, {len(todo)} to be tried", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    at_once = os.cpu_count() or 1
    with ExitStack() as stack, RESULTS.open("a", encoding="utf-8") as kept:
        trees = [stack.enter_context(copied(parts=(*PARTS, *BESIDE))) for _ in range(at_once)] if todo else []
        try:
            trial = Trial(trees, results) if todo else None
        except Failing as error:
            print(error)
            return 2
        threads = ThreadPoolExecutor(at_once)
        stack.callback(threads.shutdown, cancel_futures=True)
        for found in threads.map(trial.caught, todo) if trial else ():
            results[str(found["id"])] = found
            kept.write(json.dumps(found) + "\n")
            kept.flush()
            if not found["caught"]:
                print(
                    f"SURVIVED {found['path']}:{found['line']} {found['operator']}\n{shown(found)}",
                    flush=True,
                )
    return summed_up([results[each.id] for each in chosen if each.id in results])


def shown(mutant: Mapping[str, object]) -> str:
    """Return a change as a person reads it."""
    old = "\n".join(f"  - {line.strip()}" for line in str(mutant["old"]).split("\n"))
    return f"{old}\n" + "\n".join(f"  + {line.strip()}" for line in str(mutant["new"]).split("\n"))


def summed_up(tried: Sequence[Mapping[str, object]]) -> int:
    """Say what came of them, folder by folder; 1 if a survivor has no reason."""
    listed, unexplained = reasons(), 0
    of: dict[str, list[Mapping[str, object]]] = {folder: [] for folder in CORE}
    for each in tried:
        of[folder_of(str(each["path"]))].append(each)
    for folder, found in of.items():
        alive = [each for each in found if not each["caught"]]
        why = [excused(each, listed) for each in alive]
        open_ends = sum(not each for each in why)
        unexplained += open_ends
        if found:
            share = 100 * (len(found) - open_ends) / len(found)
            told = f"{len(alive)} survived, {open_ends} of them without a reason; {share:.0f} %"
            print(f"{folder}: {len(found)} tried, {told}")
        for each, reason in zip(alive, why, strict=True):
            print(f"  {each['path']}:{each['line']} {reason or 'SURVIVED'}\n{shown(each)}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
