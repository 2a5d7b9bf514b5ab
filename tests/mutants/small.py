"""Every small change that the rules make of the product's files, folder by folder."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.layers import COMMANDS, WORKERS
from tests.mutants.tree import ROOT

TOOL = ROOT / ".venv-mutation" / "bin" / "python"
BUILD = ROOT / "build"
SIMULATED = ("-m", "tests.mutants.simulate", "1500")

Folders = dict[str, tuple[tuple[str, ...], ...]]
"""Folder -> what a mutant there is shown to last. A file is in the first one that it is below."""

CORE: Folders = {
    "worker/record/lua": (),
    "worker/steps": (SIMULATED, WORKERS),
    "worker/record": (WORKERS,),
    "worker/operation": (SIMULATED,),
    "worker/tasks": (SIMULATED, WORKERS),
    "worker/celery/broker": (WORKERS,),
}
ELSEWHERE: Folders = {
    "worker/celery": (WORKERS,),
    "worker/connection": (),
    "worker/hosts": (),
    "worker/inventory": (),
    "worker/kinds": (),
    "worker/monitoring": (WORKERS,),
    "worker/process": (WORKERS,),
    "worker/settings": (),
    "worker": (),
    "producer/cli": (COMMANDS,),
    "producer/client": (),
    "producer/demo": (COMMANDS,),
    "producer/doctor": (),
    "producer/operators": (),
    "producer/stack": (COMMANDS,),
    "producer": (COMMANDS,),
}
BOTH = {"core": CORE, "elsewhere": ELSEWHERE}
EVERY: Folders = {**CORE, **ELSEWHERE}


def folder_of(path: str) -> str:
    """Return which folder of ours a file is in."""
    return next(folder for folder in EVERY if path.startswith(f"{folder}/"))


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
        """Which folder of ours it is in."""
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
    listed = BUILD / "mutants" / f"{path.name}-{digest}.jsonl"
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


def all_of(words: Collection[str]) -> Iterator[Mutant]:
    """Return the mutants of a part, by its name, and of the files whose path holds a word."""
    for part, folders in BOTH.items():
        for folder in folders:
            kind = "*.lua" if folder.endswith("lua") else "*.py"
            for path in sorted((ROOT / folder).rglob(kind)):
                name = str(path.relative_to(ROOT))
                if folder_of(name) == folder and any(word == part or word in name for word in words):
                    yield from made(path)
