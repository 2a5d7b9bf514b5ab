"""What a watcher sees: each change once, every host's last error, no control characters."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from lockstep.producer.cli.commands.watch import (
    NewLines,
    follow,
    host_lines,
    hosts_table,
    operation_json,
    operation_lines,
    operations_table,
)
from lockstep.producer.cli.text import SILENT
from lockstep.worker.operation.model import AttemptState, GroupId, HostName, Millis, OperationId, Status, Step
from tests.unit.producer.samples import OPERATION
from tests.unit.producer.stories import ROLLED_BACK, START, STEPS, write
from tests.unit.zones import zone


def drawn(what: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(what)
    return out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_drawn_on_a_terminal_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    follow([(ROLLED_BACK, STEPS)], hosts_table, host_lines)
    drawn, _, after = out.getvalue().rpartition("node6")
    assert "HOST" in drawn
    assert "\x1b[2K" not in after, "nothing is erased"


def test_each_change_is_told_once() -> None:
    changes = NewLines()
    later = replace(OPERATION, hosts_done=2)
    assert changes.of(operation_lines([OPERATION])) == [
        "",
        "create team-a: applying, 0 of 3 hosts done (operation 7f3c)",
    ]
    assert changes.of(operation_lines([OPERATION])) == []
    assert changes.of(operation_lines([later])) == [
        "create team-a: applying, 2 of 3 hosts done (operation 7f3c)"
    ]


def test_operations_of_one_millisecond_are_told_in_the_order_of_the_record() -> None:
    newest = [replace(OPERATION, id=OperationId(name), group=GroupId(name)) for name in ("of-b", "of-a")]
    assert [key for key, _ in operation_lines(newest)] == ["", "of-a", "of-b"]
    assert [key for key, _ in operation_json(newest)] == ["of-a", "of-b"]


def test_a_silent_redis_is_told_once_and_again_after_it_was_back() -> None:
    changes = NewLines()
    rounds: list[list[Status] | None] = [None, None, [], None]
    told = [changes.of(operation_lines(each)) for each in rounds]
    assert told == [[SILENT], [], [""], [SILENT]]


def test_hosts_come_before_their_operation_and_only_when_changed() -> None:
    changes = NewLines()
    assert len(changes.of(host_lines(ROLLED_BACK, STEPS))) == len(STEPS) + 1
    changed = (replace(STEPS[0], reason="reset"), *STEPS[1:])
    assert changes.of(host_lines(ROLLED_BACK, changed)) == [
        "node1  absent  changed by its write before the decision, undone: DELETE answered 200  2  reset"
    ]
    assert changes.of(host_lines(None, changed, ROLLED_BACK)) == [SILENT]
    settling = replace(ROLLED_BACK, ended=False, settling=True)
    (line,) = changes.of(host_lines(settling, changed))
    assert line.startswith("create team-a: rolled_back, settling, "), "locked until its lost writes settle"


def told(step: Step) -> str:
    return host_lines(OPERATION, [step])[0][1]


def test_the_last_error_is_told_as_in_status() -> None:
    lost = write("a", 0, None, AttemptState.OPEN, "answer lost: reset")
    step = Step(HostName("node1"), attempts=(write("b", 0, 1, AttemptState.NOT_APPLIED, "500"), lost))
    assert told(step) == "node1  -  perhaps changed by write 2 of 2 (answer lost: reset)  2  -"
    assert told(replace(step, reason="refused (403)")).endswith("  2  refused (403)")
    applied = replace(step, attempts=(lost, write("b", 0, 1)))
    assert told(applied) == "node1  -  changed by write 2 of 2, a write of it may still land  2  -"
    assert told(Step(HostName("node1"))) == "node1  -  nothing sent yet  0  -"


def test_the_next_retry_is_shown() -> None:
    with zone("Asia/Kolkata"):
        line = told(Step(HostName("node1"), reason="500", due_at=Millis(START)))
    assert line.endswith("  500; again at 2023-11-15 03:43:20 IST")


def test_tables_name_every_host_and_escape_what_moves_the_cursor() -> None:
    hosts = drawn(hosts_table(ROLLED_BACK, [*STEPS, Step(HostName("node9"), reason="\x1b[2J")]))
    assert all(step.host in hosts for step in STEPS)
    assert "rolled_back" in hosts
    assert "\x1b" not in hosts
    assert "team-a" in drawn(operations_table([OPERATION]))
    assert "no operations yet" in drawn(operations_table([]))
    assert SILENT in drawn(operations_table(None))
