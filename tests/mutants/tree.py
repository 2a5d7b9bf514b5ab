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
BESIDE = (
    *("docs", "examples", "manifests", "benchmarks", ".ci", "Makefile", "Dockerfile", "docker-compose.yml"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "requirements.txt"),
)
"""What unit tests read besides."""


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
def copied(
    changes: tuple[Change, ...] = (), tree: Path = ROOT, parts: tuple[str, ...] = PARTS
) -> Iterator[Path]:
    """Copy parts of a tree, make the changes there, and remove it at the end."""
    with TemporaryDirectory(prefix="lockstep-mutant-") as folder:
        root = Path(folder)
        for part in parts:
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


SCRIPTS, TWIN = "worker/record/lua", "tests/twin"


def mutant(name: str, *changes: tuple[str, str, str]) -> Mutant:
    """Make a mutant of rows: a file, what stands in it once, and what is put there.

    `begin.lua` is a script, `store.py` a file of the twin, and a whole path any other code.
    """
    of: dict[str, list[Change]] = {"script": [], "twin": [], "code": []}
    for file, old, new in changes:
        place = "code" if "/" in file else "script" if file.endswith(".lua") else "twin"
        path = next((ROOT / SCRIPTS).glob(f"*/{file}")).relative_to(ROOT) if place == "script" else file
        of[place].append(Change(f"{TWIN}/{file}" if place == "twin" else str(path), old, new))
    return Mutant(name, **{place: tuple(made) for place, made in of.items()})
