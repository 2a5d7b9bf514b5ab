from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUBPACKAGES = ("worker", "producer", "mock_api")


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, unpacked, of a checkout in which links could not be made: text files in their place."""
    tree = tmp_path_factory.mktemp("tree")
    own = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, tree / "here", symlinks=True, ignore=own)
    for part in SUBPACKAGES:
        link = tree / "here/lockstep" / part
        link.unlink()
        link.write_text(f"../{part}")
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tree)!r})"
    subprocess.run(
        [sys.executable, "-c", code], cwd=tree / "here", check=True, capture_output=True, timeout=100
    )
    (packed,) = tree.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tree / "sdist", filter="data")
    (unpacked,) = (tree / "sdist").iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-index"]
    build = [*pip, "--no-build-isolation", "-w", str(folder), str(sdist)]
    subprocess.run(build, check=True, capture_output=True, timeout=100)
    (built,) = folder.glob("*.whl")
    return built
