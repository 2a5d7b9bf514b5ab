"""Fresh environments, made of the packages that are installed here: quick, and without an index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.waits import PATIENCE


def environment(home: Path, wheel: Path, extras: str, *beside: str) -> Path:
    """Make an environment, install the wheel into it, and return its Python.

    It has the packages that `wheel[extras]` needs, by this environment's metadata, and those of `beside`. pip
    installs the wheel with no index: it fails if the metadata of the wheel asks for anything else.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=PATIENCE)
    (site,) = home.glob("lib/python3*/site-packages")
    for name in closure([f"lockstep[{extras}]", *beside]) - {"lockstep"}:
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                link = site / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.locate())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", f"--python={home}/bin/python"]
    install = [*pip, "install", "--quiet", "--no-index", f"{wheel}[{extras}]" if extras else str(wheel)]
    subprocess.run(install, check=True, timeout=100)
    return home / "bin" / "python"


def closure(wanted: Iterable[str]) -> set[str]:
    """Return the names of what is wanted and of all that it needs here."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(each) for each in wanted]
    while waiting:
        each = waiting.pop()
        for extra in ("", *each.extras):
            known = (canonicalize_name(each.name), extra)
            if known in found:
                continue
            found.add(known)
            needs = map(Requirement, distribution(each.name).requires or ())
            waiting += [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}
