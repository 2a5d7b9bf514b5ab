"""The release before this one, built from its commit, and how a worker of it is started."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEFORE = "3dd59aa"
"""The commit of the release before, whose decisions were made by the workers."""
FORGET = "import os\nfor name in 'PATIENCE', 'BROKER', 'KINDS': os.environ.pop(f'LOCKSTEP_{name}', None)\n"
"""Settings that the release before refuses."""
OLD_WORKER = f"{FORGET}import sys; from celery.__main__ import main; sys.argv[0] = 'celery'\nmain()\n"


def known() -> bool:
    """Tell whether the tree's history is here, from which it is built."""
    found = subprocess.run(["git", "cat-file", "-e", BEFORE], cwd=ROOT, capture_output=True, check=False)
    return found.returncode == 0


def built(folder: Path) -> Path:
    """Return a folder with what the wheel of the release before installs."""
    source = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=True)
    folder.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(source.stdout)) as tree:
        tree.extractall(folder / "source", filter="data")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=folder / "source", check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "installed")
    return folder / "installed"
