"""One import package, lockstep, though the folders of its subpackages stand at the top of the repository."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.ship.conftest import ROOT, SUBPACKAGES
from tests.waits import PATIENCE

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
TWICE = """
import os, sys
import lockstep.producer.cli.commands.read, lockstep.producer.stack.command, lockstep.producer.demo.play
import lockstep.worker.tasks, lockstep.mock_api.app
names = {}
for name, module in list(sys.modules.items()):
    if getattr(module, "__file__", None) and name != "__main__":
        names.setdefault(os.path.realpath(module.__file__), set()).add(name)
ours = [both for file, both in names.items() if file.startswith(tuple(FOLDERS))]
print(len(ours) > 100, [both for both in ours if len(both) > 1])
"""


def test_the_packages_of_a_build_are_the_folders_that_exist() -> None:
    folders = {
        ".".join(("lockstep", *path.parent.relative_to(ROOT).parts))
        for part in SUBPACKAGES
        for path in (ROOT / part).rglob("__init__.py")
    }
    assert set(SETUPTOOLS["packages"]) == {"lockstep", *folders}
    assert SETUPTOOLS["package-dir"] == {
        "lockstep": "lockstep",
        **{f"lockstep.{part}": part for part in SUBPACKAGES},
    }


def test_an_sdist_is_the_whole_repository_and_tests_itself(sdist: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    links = {f"lockstep/{part}" for part in SUBPACKAGES}
    links |= {f"manifests/chart/files/{part}" for part in ("base", "components")}
    assert [name for name in tracked.splitlines() if name not in links and not (sdist / name).exists()] == []
    subprocess.run(["make", "links"], cwd=sdist, check=True, timeout=100)
    assert [name for name in links if not (sdist / name).is_dir()] == []
    test = [sys.executable, "-m", "pytest", "-q", "tests/unit/operation/test_states.py"]
    ran = subprocess.run(test, cwd=sdist, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout
    where = "import lockstep.worker.settings as s; print(s.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", where], cwd=sdist, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith(str(sdist))


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    kinds = {".py", ".lua", ".html", ".typed", ".css", ".yaml", ".json"}
    expected = {
        str(Path("lockstep") / path.relative_to(ROOT))
        for part in SUBPACKAGES
        for path in (ROOT / part).rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    expected |= {f"lockstep/{path.name}" for path in (ROOT / "lockstep").iterdir() if path.is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed - {"lockstep/__pycache__"} == expected


def test_a_folder_with_modules_of_those_names_changes_nothing(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    here = tmp_path / "here"
    here.mkdir()
    for name in SUBPACKAGES:
        (here / f"{name}.py").write_text("raise SystemExit('a stranger')")
    code = "import lockstep, lockstep.worker.settings as s; lockstep.ClusterClient; print(s.__file__)"
    env = {"PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert ran.stdout.strip() == str(tmp_path / "site/lockstep/worker/settings/__init__.py")


def test_no_file_is_loaded_under_two_names() -> None:
    code = f"FOLDERS = {[f'{ROOT / part}/' for part in SUBPACKAGES]}\n{TWICE}"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert ran.stdout == "True []\n"


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_a_subpackage_refuses_to_be_imported_by_its_folder(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = f"ImportError: import lockstep.{name}: the folder {name}/ is a part of the package lockstep"
    assert ran.stderr.splitlines()[-1] == said
