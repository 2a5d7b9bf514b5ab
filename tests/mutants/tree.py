"""A copy of the tree to break, and changes to it that must match exactly once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PARTS = ("lockstep", "worker", "producer", "mock_api", "tests", "pyproject.toml")


class Moved(Exception):
    """The text that a mutant replaces is not in the code exactly once; the catalogue has to follow."""


@dataclass(frozen=True, slots=True)
class Change:
    """One replacement in one file."""

    path: str
    old: str
    new: str

    def applied(self, root: Path = ROOT) -> str:
        """Return the file's text with the change made. Raises Moved."""
        text = (root / self.path).read_text("utf-8")
        found = text.count(self.old)
        if found != 1:
            raise Moved(f"{self.path} holds {found} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@contextmanager
def copied(changes: tuple[Change, ...] = (), tree: Path = ROOT) -> Iterator[Path]:
    """Copy a tree, make the changes there, and remove it at the end."""
    with TemporaryDirectory(prefix="lockstep-mutant-") as folder:
        root = Path(folder)
        for part in PARTS:
            source = tree / part
            if source.is_dir():
                shutil.copytree(
                    source, root / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy2(source, root / part)
        for change in changes:
            (root / change.path).write_text(change.applied(root), "utf-8")
        yield root


def lua(script: str, old: str, new: str) -> Change:
    """A change in a script."""
    return Change(f"worker/record/lua/{script}.lua", old, new)


def books(old: str, new: str) -> Change:
    """A change in what all transitions of the twin use."""
    return Change("tests/twin/books.py", old, new)


def forward(old: str, new: str) -> Change:
    """A change in the twin's transitions before the decision."""
    return Change("tests/twin/store.py", old, new)


def waves(old: str, new: str) -> Change:
    """A change in the twin's transitions for waves."""
    return Change("tests/twin/waves.py", old, new)


def content(old: str, new: str) -> Change:
    """A change in the twin's transitions for things with content."""
    return Change("tests/twin/content.py", old, new)


def after(old: str, new: str) -> Change:
    """A change in the twin's transitions after the decision."""
    return Change("tests/twin/after.py", old, new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break the product: in a script and in its twin, or in code that both use."""

    name: str
    script: tuple[Change, ...] = ()
    twin: tuple[Change, ...] = ()
    code: tuple[Change, ...] = ()

    @property
    def cases(self) -> dict[str, tuple[Change, ...]]:
        """The places that it is tried in, one at a time."""
        every = {"script": self.script, "twin": self.twin, "code": self.code}
        return {place: changes for place, changes in every.items() if changes}
