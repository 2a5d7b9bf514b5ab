"""What `make release-check` checks, one line each: `ok`, `WRONG` or `NOT CHECKED` with the reason.

Ends with 1 if something is wrong, with 2 if something could not be checked here (no internet, no containers).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OK, WRONG, UNCHECKED = 0, 1, 2
SAID = {OK: "ok", WRONG: "WRONG", UNCHECKED: "NOT CHECKED"}
IMAGE_UNCHECKED = 3
"""What tests.ship.image ends with where no container can be run."""


class Wrong(Exception):
    """What is wrong, and what mends it."""


def version(root: Path = ROOT) -> str:
    """The version is the same wherever it stands."""
    wanted = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    image = re.search(r"^ARG VERSION=(.*)$", (root / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    if image is None or image[1] != wanted:
        raise Wrong(f"pyproject.toml says {wanted}, the Dockerfile {image and image[1]}: make them the same")
    return str(wanted)


def changelog(root: Path = ROOT) -> str:
    """The version has a dated section, above which nothing is unreleased."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heads = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    wanted = version(root)
    if len(heads) < 2 or heads[0][0] != "Unreleased" or heads[1][0] != wanted or not heads[1][1]:
        raise Wrong(f"no section [{wanted}] with a date follows [Unreleased]: move the entries there")
    between = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
    if between.strip():
        raise Wrong(f"[Unreleased] is not empty: move its entries to [{wanted}]")
    return f"[{wanted}] of {heads[1][1]}"


def built() -> str:
    """The sdist builds, and the wheel builds from it; each holds the licence."""
    shutil.rmtree(DIST, ignore_errors=True)
    run("uv", "build", "--quiet", "--no-build-isolation", f"--python={sys.executable}")
    sdist, wheel = archives()
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    inside = set(zipfile.ZipFile(wheel).namelist())
    for archive, held in ((sdist, names), (wheel, inside)):
        for licence in PROJECT["license-files"]:
            if not any(name.endswith(licence) for name in held):
                raise Wrong(f"{archive.name} lacks {licence}")
    return f"{sdist.name}, {wheel.name}"


def metadata() -> str:
    """The metadata is valid, and says what pyproject.toml says."""
    _, wheel = archives()
    packed = zipfile.ZipFile(wheel)
    (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
    said = Metadata.from_email(packed.read(name))
    if (said.name, str(said.version)) != (PROJECT["name"], PROJECT["version"]) or not said.description:
        raise Wrong(f"the wheel says {said.name} {said.version}")
    return f"{said.name} {said.version}, Python {said.requires_python}"


def sdist() -> str:
    """The sdist makes its own environment and passes its unit tests there."""
    packed, _ = archives()
    with tempfile.TemporaryDirectory(prefix="lockstep-sdist-") as folder:
        with tarfile.open(packed) as tree:
            tree.extractall(folder, filter="data")
        (home,) = Path(folder).iterdir()
        said = run("make", "test", "ONLY=unit", cwd=home)
    return said.splitlines()[-1]


def rolling() -> str:
    """Workers of the release before work beside those of this one."""
    return run(sys.executable, "-m", "pytest", "-q", "tests/integration/worker/test_rolling_update.py")


def image() -> str:
    """The image builds and runs every role."""
    return run(sys.executable, "-m", "tests.ship.image", unchecked=IMAGE_UNCHECKED)


def of_release(what: str) -> Callable[[], str]:
    """Return the check that `make pinned`, `audit` or `sbom` makes."""
    return lambda: run(sys.executable, "-m", "tests.ship.release", what, unchecked=UNCHECKED)


CHECKS: dict[str, Callable[[], str]] = {
    "version": version,
    "changelog": changelog,
    "sdist and wheel": built,
    "metadata": metadata,
    "sdist tests itself": sdist,
    "images are pinned": of_release("pinned"),
    "vulnerabilities": of_release("audit"),
    "list of parts": of_release("sbom"),
    "rolling update": rolling,
    "image": image,
}


class Unchecked(Exception):
    """Why something cannot be checked here."""


def run(program: str, *arguments: str, cwd: Path = ROOT, unchecked: int | None = None) -> str:
    """Run a program; return what it said last. Raises Wrong, and Unchecked where it ends with that code."""
    beside = Path(sys.executable).parent / program
    command = [str(beside) if beside.exists() else program, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip() or "nothing was said"
    if done.returncode == unchecked:
        raise Unchecked(said.splitlines()[-1])
    if done.returncode:
        raise Wrong("\n  ".join(said.splitlines()[-8:]))
    if re.search(r"^(?!.*passed).*\bskipped\b", said.splitlines()[-1]):
        raise Unchecked(said.splitlines()[-1])
    return said.splitlines()[-1]


def archives() -> tuple[Path, Path]:
    """Return the sdist and the wheel that were built. Raises Wrong."""
    found = [*DIST.glob("*.tar.gz"), *DIST.glob("*.whl")]
    if len(found) != 2:
        raise Wrong("no sdist and wheel were built")
    return found[0], found[1]


def main(checks: dict[str, Callable[[], str]] = CHECKS) -> int:
    """Make every check, whatever the others came to, and return the exit code."""
    codes = set()
    for name, check in checks.items():
        try:
            code, said = OK, check()
        except Wrong as error:
            code, said = WRONG, str(error)
        except Unchecked as error:
            code, said = UNCHECKED, str(error)
        codes.add(code)
        print(f"{name:<20}{SAID[code]:<13}{said}", flush=True)
    return WRONG if WRONG in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
