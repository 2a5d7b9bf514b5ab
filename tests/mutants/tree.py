"""A copy of the tree to break, and changes that must match exactly once."""

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
