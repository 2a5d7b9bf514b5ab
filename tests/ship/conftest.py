from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUBPACKAGES = ("worker", "producer", "mock_api")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from what git would check out where links cannot be made: text files in their place."""
    tree = tmp_path_factory.mktemp("tree")
    for part in ("lockstep", *SUBPACKAGES):
        for path in (ROOT / part).rglob("*"):
            copy = tree / path.relative_to(ROOT)
            if path.is_symlink():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(str(path.readlink()))
            elif path.is_file() and path.suffix != ".pyc":
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        (tree / part).write_bytes((ROOT / part).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-index"]
    build = [*pip, "--no-build-isolation", "-w", str(tree / "dist"), str(tree)]
    subprocess.run(build, check=True, capture_output=True, timeout=100)
    (built,) = (tree / "dist").glob("*.whl")
    return built
