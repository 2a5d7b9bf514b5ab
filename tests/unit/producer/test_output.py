"""What is printed, down to the characters."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from lockstep.producer.cli import main, output, text
from lockstep.producer.cli.commands.watch import operations_table
from lockstep.producer.cli.output import moment, note, operation_document, unread_document
from lockstep.producer.process import outlets
from lockstep.worker.operation.model import (
    Action,
    Decision,
    GroupId,
    HostName,
    Millis,
    Outcome,
    State,
    Step,
    Undo,
)
from lockstep.worker.operation.story import result_of
from tests.unit.producer.samples import OPERATION

HOSTS = tuple(HostName(f"node{n}") for n in range(1, 9))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    output.answer_table(("A", "LONG", "C"), [("longer", "x", "y"), ("z", "", "")])
    assert capsys.readouterr().out == "A       LONG  C\nlonger  x     y\nz\n"


def test_a_host_of_which_nothing_is_known_is_called_so() -> None:
    raised = "the step failed with KeyError: see the worker's log"
    steps = [Step(HOSTS[0], outcome=Outcome.UNKNOWN, reason=raised), Step(HOSTS[1], reason="500")]
    one, other = (text.host_row(host) for host in result_of(OPERATION, steps).hosts)
    assert one[-1] == f"unknown: {raised}"
    assert other[-1] == "500"


def test_text_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    output.answer_table(("A",), [("\x1b[2J\r\n\u202e",)])
    assert capsys.readouterr().out == "A\n\\x1b[2J\\r\\n\\u202e\n"
    assert output.printable("grün … 日本") == "grün … 日本"


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False), ("TERM", "xterm", True)],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert (output.paint("committed, settling", "green") != "committed, settling") is coloured
    assert output.paint("committees", "") == "committees"


NAMED_LIKE_STATES = replace(
    OPERATION, group=GroupId("failure"), created_by="abandoned", state=State.ROLLING_BACK, settling=True
)


def printed() -> None:
    output.answer_table(text.LIST_HEADER, [text.list_row(NAMED_LIKE_STATES, None)])


def drawn() -> None:
    console = Console(width=200, highlight=False, color_system="standard")
    console.print(operations_table([NAMED_LIKE_STATES]))


@pytest.mark.parametrize("shown", [printed, drawn])
def test_a_state_has_its_colour_and_what_is_called_like_one_has_none(
    monkeypatch: pytest.MonkeyPatch, shown: Callable[[], None]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    shown()
    coloured = re.findall(r"\x1b\[(3\d)m([^\x1b]*)", out.getvalue())
    assert [(code, words.strip()) for code, words in coloured] == [("33", "rolling_back, settling")]


def test_what_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with outlets():
        output.answer("grün")
    assert raw.getvalue() == b"gr\\xfcn\n"


def test_a_reader_that_has_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert not output.reader_gone()
        os.close(reader)
        assert output.reader_gone()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not output.reader_gone()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(gone=True))
    assert output.reader_gone()


def test_moments_are_utc_to_the_millisecond() -> None:
    assert moment(Millis(1_700_000_000_123)) == "2023-11-14T22:13:20.123Z"
    assert moment(Millis(1_700_000_000_000)) == "2023-11-14T22:13:20.000Z"
    assert moment(None) is None


def test_what_cannot_be_read_has_fields_of_the_full_document() -> None:
    assert set(unread_document("7f3c", "team-a", "create")) <= set(operation_document(OPERATION))


def test_plain_progress_is_a_line_per_state_and_at_most_one_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    lines = text.ProgressLines()
    for done in range(3):
        lines(replace(OPERATION, hosts_done=done))
    now += 1
    lines(replace(OPERATION, hosts_done=3))
    lines(None)
    lines(replace(OPERATION, hosts_done=3))
    lines(replace(OPERATION, state=State.ROLLING_BACK, decision=Decision.ROLL_BACK, pending_hosts=HOSTS[:2]))
    assert capsys.readouterr().err.splitlines() == [
        "create team-a: applying, 0 of 3 hosts done (operation 7f3c)",
        "create team-a: applying, 3 of 3 hosts done (operation 7f3c)",
        "Redis does not answer; waiting for it to come back",
        "create team-a: applying, 3 of 3 hosts done (operation 7f3c)",
        "create team-a: rolling_back, 2 of 3 hosts to restore (operation 7f3c)",
    ]


@pytest.mark.parametrize(
    ("action", "outcomes", "expected"),
    [
        (Action.CREATE, [Outcome.APPLIED], 'created group "team-a" on 1 host'),
        (Action.CREATE, [Outcome.APPLIED] * 3, 'created group "team-a" on 3 hosts'),
        (
            Action.DELETE,
            [Outcome.APPLIED, Outcome.UNCHANGED],
            'deleted group "team-a" on 2 hosts, gone before on 1 of them',
        ),
    ],
)
def test_the_sentence_for_a_commit(action: Action, outcomes: list[Outcome], expected: str) -> None:
    steps = [Step(host, outcome=outcome) for host, outcome in zip(HOSTS, outcomes, strict=False)]
    result = result_of(replace(OPERATION, action=action, state=State.COMMITTED), steps)
    assert text.sentence(result, action) == f"{expected} (operation 7f3c)"


def test_many_hosts_are_counted_not_listed() -> None:
    status = replace(OPERATION, state=State.ROLLING_BACK, pending_hosts=HOSTS, reason="node1 refused (403)")
    assert text.sentence(result_of(status, ()), Action.CREATE) == (
        "rolling back, node1, node2, node3, node4, node5 and 3 more pending and retried until restored: "
        'create group "team-a", because node1 refused (403) (operation 7f3c)'
    )


def test_abandoned_hosts_are_named() -> None:
    status = replace(OPERATION, state=State.ABANDONED, ended=True, reason="node1 refused (403)")
    steps = [Step(HOSTS[0], undo=Undo.RESTORED), Step(HOSTS[1], undo=Undo.ABANDONED)]
    assert text.sentence(result_of(status, steps), Action.DELETE) == (
        "rolled back except on node2, abandoned: "
        'delete group "team-a", because node1 refused (403) (operation 7f3c)'
    )


def test_notes_cannot_move_the_cursor_and_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    note("team-a: no usable answer from \x1b[2Jnode1\x07\n  second\u202eline")
    assert capsys.readouterr().err == (
        "team-a: no usable answer from \\x1b[2Jnode1\\x07\n  second\\u202eline\n"
    )


def test_a_traceback_is_cleaned_like_everything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def client(*_: object) -> None:
        raise RuntimeError("a node said \x1b]0;owned\x07")

    monkeypatch.setattr("lockstep.producer.cli.exits.Session.client", client)
    assert main(["list", "--debug"]) == 70
    said = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07" in said
    assert not {"\x1b", "\x07"} & set(said)
    assert len(said.splitlines()) > 5
