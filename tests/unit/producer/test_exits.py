"""Every end has an exit code, and docs/cli.md lists it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lockstep.producer.cli.exits import OF_STATE, PRINTING, Exit, Session, exit_of
from lockstep.producer.cli.output import full_document
from lockstep.worker.operation import errors
from lockstep.worker.operation.errors import LockstepError
from lockstep.worker.operation.model import HostName, State, Step
from tests.unit.producer.samples import OPERATION

DOCS = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8")
LEAVES = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LockstepError)
]


@pytest.mark.parametrize("error", [each for each in LEAVES if each is not LockstepError])
def test_every_error_has_an_exit_code(error: type[LockstepError]) -> None:
    assert exit_of(error("text")) is not Exit.BUG


def test_an_error_without_a_code_of_its_own_is_a_bug() -> None:
    assert exit_of(LockstepError("text")) is Exit.BUG


def test_every_state_that_a_wait_can_end_with_has_an_exit_code() -> None:
    assert set(OF_STATE) == set(State) - {State.APPLYING}
    assert len(set(OF_STATE.values())) == len(OF_STATE)


def test_the_promised_codes() -> None:
    assert [code.value for code in Exit] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 70, 74, 129, 130, 143]


def test_the_documentation_lists_every_code_and_no_other() -> None:
    listed = re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)
    assert [int(code) for code in listed] == [code.value for code in Exit]


def test_the_documentation_lists_every_json_field() -> None:
    document = full_document(OPERATION, [Step(HostName("node1"))])
    hosts = document["hosts"]
    assert isinstance(hosts, list)
    for field in [*document, *hosts[0]]:
        assert f"| `{field}` |" in DOCS


def test_what_has_libraries_print_to_stdout_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in PRINTING:
        monkeypatch.setenv(name, "1")
    Session()
    assert not {*PRINTING} & os.environ.keys()
