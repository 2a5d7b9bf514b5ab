"""What happened to a host is told alike in every view: each path of the table of stories, through each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html import escape
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.producer.cli.commands.watch import host_lines
from lockstep.producer.cli.output import full_document
from lockstep.producer.cli.report import page
from lockstep.producer.cli.text import HOST_HEADER, host_row
from lockstep.worker.operation.model import HostName, Millis, Status, Step
from lockstep.worker.operation.story import Story, result_of
from lockstep.worker.steps.apply import Next, StepResult
from lockstep.worker.tasks.run import summary, with_story
from tests.unit.operation.test_story import TABLE
from tests.unit.producer.samples import OPERATION

NODE1 = HostName("node1")
TOLD = "WHAT HAPPENED"
Facts = tuple[bool | None, str | None, bool | None, str | None]


def in_status_and_show(operation: Status, host: Step) -> str:
    (result,) = result_of(operation, [host]).hosts
    return dict(zip(HOST_HEADER, host_row(result), strict=True))[TOLD]


def in_watch(operation: Status, host: Step) -> str:
    cells = host_row(result_of(operation, [host]).hosts[0])
    assert host_lines(operation, [host])[0] == (NODE1, "  ".join(cells))
    return dict(zip(HOST_HEADER, cells, strict=True))[TOLD]


def in_python(operation: Status, host: Step) -> str:
    return result_of(operation, [host]).hosts[0].story.text


def in_json(operation: Status, host: Step) -> str:
    return str(json.loads(json.dumps(full_document(operation, [host])))["hosts"][0]["story"])


def as_result_in_flower(operation: Status, host: Step) -> str:
    view = SimpleNamespace(step=host, action=operation.action, decided_at=operation.decided_at)
    context: Any = SimpleNamespace(store=SimpleNamespace(view=lambda *_: view))
    return summary({NODE1: with_story(context, operation.id, NODE1, StepResult(Next.DONE, "200"))})


def of(decided_at: Millis | None) -> Status:
    return replace(OPERATION, created_at=Millis(0), decided_at=decided_at)


PATHS = pytest.mark.parametrize(
    ("path", "host", "decided_at", "facts", "text"), TABLE, ids=[row[0] for row in TABLE]
)


@PATHS
@pytest.mark.parametrize(
    "view",
    [in_status_and_show, in_watch, in_python, in_json, as_result_in_flower],
    ids=lambda it: it.__name__,
)
def test_each_path_is_told_alike(
    path: str,
    host: Step,
    decided_at: Millis | None,
    facts: Facts,
    text: str,
    view: Callable[[Status, Step], str],
) -> None:
    assert view(of(decided_at), host) == text


BRIEFLY = {True: "changed", False: "not changed", None: "perhaps changed"}
ENDED = {"none": "", "restored": ", undone", "needed": ", to be undone", "abandoned": ", given up"}


@PATHS
def test_each_path_is_told_in_the_table_and_the_picture_of_a_report(
    path: str, host: Step, decided_at: Millis | None, facts: Facts, text: str
) -> None:
    shown = page(of(decided_at), [host], Millis(20_000))
    assert shown.count(f"<td>{escape(text)}</td>") == 1
    brief = BRIEFLY[facts[0]] + ("" if facts[0] is False else ENDED[host.undo])
    assert shown.count(f">{brief}</text>") == 1


@PATHS
def test_each_path_has_its_facts_in_python_and_in_json(
    path: str, host: Step, decided_at: Millis | None, facts: Facts, text: str
) -> None:
    told: Story = result_of(of(decided_at), [host]).hosts[0].story
    assert (told.changed, told.changed_by, told.changed_late, told.undone) == facts
    (document,) = json.loads(json.dumps(full_document(of(decided_at), [host])))["hosts"]
    names = ("changed", "changed_by", "changed_after_decision", "undone_by")
    assert tuple(document[name] for name in names) == facts
