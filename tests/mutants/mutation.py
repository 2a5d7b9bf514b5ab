"""Make every small change of the core, or of other files, one at a time, and see whether a test fails.

`python -m tests.mutants.mutation` takes hours and may be ended at any time: what is known is kept in
`build/mutation.jsonl` and is not tried again until the file that was changed changes. `--only WORD` tries
the files whose path holds a word in place of the core, `--only elsewhere` all that are not of the core.
`--sample 20` draws so many mutants of each folder, `--sample 2%` such a share. Survivors for which
`survivors.toml` gives a reason are no findings; it ends with 1 when there are others.

A mutant of Python is shown to the tests that run its line, one of Lua to the contract of the record; what
caught others of the same file comes first. What nobody caught is shown to the last layers of its folder:
tests that run whole workers and commands in processes of their own, which import the broken copy, too. As
many are tried at once as there are processors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.layers import RECORD, pytest, ran
from tests.mutants.lines import AlreadyRed, line_tests
from tests.mutants.small import BUILD, EVERY, Mutant, all_of, folder_of
from tests.mutants.tree import BESIDE, PARTS, copied

RESULTS = BUILD / "mutation.jsonl"
REASONS = Path(__file__).with_name("survivors.toml")
LIMIT = 900
"""Seconds for one layer; what takes longer has noticed the mutant."""
STUCK = "--timeout=40"
"""Seconds for one test; what takes longer has noticed it, too."""
FIRST = 12
"""Tests that are run by themselves first: those that caught the most in the file, and the nearest."""

JUDGES = (
    *("tests/unit", "--ignore=tests/unit/benchmarks", "--ignore=tests/unit/fuzz"),
    *("tests/contract", "tests/integration/broker"),
)
"""The tests that may catch a mutant of Python."""
WHOLE = re.compile(r"tests/contract/(?:producer/|things/|test_worker\.py)")
"""Those of them that run a client, or a whole worker."""
LAST = {layer for layers in EVERY.values() for layer in layers}

Result = dict[str, object]
"""A mutant, and what caught it."""


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
    """Do as `failure` does; what can be late on a busy machine has to fail twice."""
    failed = failure(tree, layer)
    return failure(tree, layer) if failed and (layer in LAST or WHOLE.search(failed)) else failed


class Trial:
    """Shows mutants to the tests, each in a copy of the tree that nobody else uses meanwhile."""

    def __init__(self, trees: Sequence[Path], results: dict[str, Result], todo: Sequence[Mutant]) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for tree in trees:
            self._free.put(tree)
        self._results = results
        last = sorted({layer for folder in {each.folder for each in todo} for layer in EVERY[folder]})
        self._line_tests = line_tests(trees[0], JUDGES, last, BUILD / "line-tests.json")

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
        tests = self._line_tests.tests(mutant.path, mutant.line, last)
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
        yield from EVERY[mutant.folder]


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
    parser.add_argument("--only", action="append", metavar="WORD", help="`core`, `elsewhere`, or of a path")
    parser.add_argument("--sample", default="100%", metavar="N", help="so many of each folder, or N%%")
    parser.add_argument("--seed", type=int, default=1, help="draws the sample, and the order")
    parser.add_argument("--list", action="store_true", help="sum up what is known, and try nothing")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell starts what is deaf
    if not given.list:
        os.nice(10)
    every, results = list(all_of(given.only or ["core"])), known()
    chosen = drawn(every, given.sample, given.seed)
    todo = [] if given.list else [each for each in chosen if each.id not in results]
    print(f"{len(every)} mutants, {len(chosen)} chosen, {len(todo)} to be tried", flush=True)
    BUILD.mkdir(exist_ok=True)
    at_once = os.cpu_count() or 1
    with ExitStack() as stack, RESULTS.open("a", encoding="utf-8") as kept:
        trees = [stack.enter_context(copied(parts=(*PARTS, *BESIDE))) for _ in range(at_once)] if todo else []
        try:
            trial = Trial(trees, results, todo) if todo else None
        except AlreadyRed as error:
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
    many = Counter(each.folder for each in every)
    return summed_up([results[each.id] for each in chosen if each.id in results], many)


def drawn(every: Sequence[Mutant], sample: str, seed: int) -> list[Mutant]:
    """Draw so many of each folder, or a share of each."""
    mixed = list(every)
    random.Random(seed).shuffle(mixed)
    of: dict[str, list[Mutant]] = {}
    for each in mixed:
        of.setdefault(each.folder, []).append(each)
    found: set[Mutant] = set()
    for folder in of.values():
        most = len(folder) * float(sample[:-1]) / 100 if sample.endswith("%") else int(sample)
        found.update(folder[: math.ceil(most)])
    return [each for each in mixed if each in found]


def shown(mutant: Mapping[str, object]) -> str:
    """Return a change as a person reads it."""
    old = "\n".join(f"  - {line.strip()}" for line in str(mutant["old"]).split("\n"))
    return f"{old}\n" + "\n".join(f"  + {line.strip()}" for line in str(mutant["new"]).split("\n"))


def summed_up(tried: Sequence[Mapping[str, object]], many: Mapping[str, int]) -> int:
    """Say what came of them, folder by folder and in all; 1 if a survivor has no reason."""
    listed = reasons()
    of: dict[str, list[Mapping[str, object]]] = {folder: [] for folder in many}
    for each in tried:
        of[folder_of(str(each["path"]))].append(each)
    scores: dict[str, tuple[int, int]] = {}
    for folder, found in of.items():
        alive = [each for each in found if not each["caught"]]
        why = [excused(each, listed) for each in alive]
        open_ends = why.count("")
        if found:
            scores[folder] = (len(found) - open_ends, len(found))
            told = f"{len(alive)} survived, {open_ends} of them without a reason"
            caught = share({folder: scores[folder]}, many)
            print(f"{folder}: {len(found)} of {many[folder]} tried, {told}; {caught}")
        for each, reason in zip(alive, why, strict=True):
            print(f"  {each['path']}:{each['line']} {reason or 'SURVIVED'}\n{shown(each)}")
    if len(scores) > 1:
        print(f"by the number of mutants of each: {share(scores, many)}")
    return 1 if any(caught < of_all for caught, of_all in scores.values()) else 0


def share(scores: Mapping[str, tuple[int, int]], many: Mapping[str, int]) -> str:
    """Return how many percent of all mutants of these folders are caught, with Wilson's interval (95 %)."""
    whole = sum(many[folder] for folder in scores)
    weights = {folder: many[folder] / whole for folder in scores}
    found = sum(weights[folder] * caught / tried for folder, (caught, tried) in scores.items())
    as_one = 1 / sum(weights[folder] ** 2 / tried for folder, (_, tried) in scores.items())
    z = 1.96**2 / as_one
    middle, spread = found + z / 2, math.sqrt(z * found * (1 - found) + z**2 / 4)
    low, high = ((middle + each) / (1 + z) for each in (-spread, spread))
    return f"{100 * found:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    sys.exit(main())
