"""Run the suites on the lowest or on the newest packages that pyproject.toml allows.

`python -m tests.versions lowest` takes the oldest Python of this machine and the lowest release of every
direct dependency; `newest` the newest Python and the newest releases, whatever requirements-dev.txt pins.
It runs unit, contract and integration.
The tools for tests are the pinned ones, unless they contradict what is tested.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
OLDEST, NEWEST = 11, 14
"""Of Python 3: the first is the one that pyproject.toml requires, the last the newest that there is."""
SUITES = ("tests/unit", "tests/contract", "tests/integration")


def main() -> int:
    """Build the environment, say what is in it, and run the suites there; pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument("which", choices=("lowest", "newest"))
    parser.add_argument("--python", metavar="PATH", help="this one instead of the oldest or the newest")
    parser.add_argument("tests", nargs="*", help="files or folders instead of those suites")
    given = parser.parse_args()
    found = dict(pythons())
    chosen = given.python or found[(min if given.which == "lowest" else max)(found)]
    python = build(given.which, chosen)
    # Without bytecode each of the many processes that tests start would compile all that it imports.
    cache = {"PYTHONPYCACHEPREFIX": str(ROOT / ".venv" / ".cache" / "pycache")}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background makes deaf to it
    tests = given.tests or SUITES
    command = [str(python), "-m", "pytest", "-q", "--numprocesses", "3", "--dist", "loadfile", *tests]
    return subprocess.run(command, cwd=ROOT, env=environment | cache, check=False).returncode


def pythons() -> Iterator[tuple[int, str]]:
    """Yield the minor version and the path of each Python 3 that can be had here: on PATH, or of pyenv."""
    for minor in range(OLDEST, NEWEST + 1):
        homes = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/3.{minor}.*/bin")
        for path in (shutil.which(f"python3.{minor}"), *(str(home / "python3") for home in sorted(homes))):
            # A shim of pyenv is there for versions too that it is not set to use.
            if (
                path
                and not subprocess.run(
                    [path, "-c", "import venv"], capture_output=True, check=False
                ).returncode
            ):
                yield minor, path
                break


def build(which: str, python: str) -> Path:
    """Make .venv-lowest or .venv-newest anew where it differs; return its Python."""
    home = ROOT / f".venv-{which}"
    inside = home / "bin" / "python"
    uv("venv", "--quiet", "--allow-existing", "--python", python, str(home))
    limits, pins = home / "limits.txt", home / "pins.txt"
    compiling = (
        "pip",
        "compile",
        "pyproject.toml",
        "--quiet",
        "--no-header",
        "--no-annotate",
        f"--python={inside}",
    )
    resolution = ("--resolution=lowest-direct",) if which == "lowest" else ("--upgrade",)
    uv(*compiling, *resolution, "--extra=all", f"--output-file={limits}")
    shutil.copy(ROOT / "requirements-dev.txt", pins)
    uv(
        *compiling,
        "--extra=all",
        "--extra=dev",
        "--group=build",
        f"--constraint={limits}",
        f"--output-file={pins}",
    )
    uv("pip", "sync", "--quiet", f"--python={inside}", str(pins))
    uv(
        "pip",
        "install",
        "--quiet",
        f"--python={inside}",
        "--no-deps",
        "--no-build-isolation",
        "--editable",
        ".",
    )
    version = subprocess.run([inside, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"The {which} packages that are allowed, on {version}:\n{', '.join(direct(limits))}", flush=True)
    return inside


def direct(limits: Path) -> list[str]:
    """Return the pins of the packages that pyproject.toml names."""
    named = set(
        re.findall(r'^  "([\w.-]+)[^"]*[>=]', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    )
    wanted = {name.lower() for name in named}
    return [line for line in limits.read_text("utf-8").split() if line.partition("==")[0] in wanted]


def uv(*arguments: str) -> None:
    """Run uv. Raises SystemExit with what it said: a package index may be out of reach."""
    done = subprocess.run([UV, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"uv {' '.join(arguments[:2])} failed:\n{done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
