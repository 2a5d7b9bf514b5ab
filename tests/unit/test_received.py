"""What a worker takes for a message, and for one of ours."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import InvalidTaskError
from celery.worker.request import Request

from lockstep.worker.celery import TaskName, make_app
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.received import PatientRequest, unlike_ours

EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
APP = make_app(Settings(hosts="http://node1"))


def headers(task: str = TaskName.CREATE_GROUP, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = APP.amqp.create_task_message("id", task, ("op", "team", "a"), {}).headers
    return {**made, **more}


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (TaskName.CREATE_GROUP, ["op", "team", "a", "b"]),
        (TaskName.CREATE_GROUP, ["op", "team", *["a"] * 9_998]),
        (TaskName.CONCLUDE, ["op", "op"]),
        (TaskName.PATROL_GROUP, ["team"]),
        (TaskName.SWEEP, []),
    ],
)
def test_messages_of_ours_are_taken(task: str, names: list[str]) -> None:
    chord = {"task": TaskName.CONCLUDE, "args": ["op", "team"], "options": {}}
    assert unlike_ours(headers(task), [names, {}, {**EMBEDDED, "chord": chord}]) is None
    assert unlike_ours(headers(task, retries=3, celery_beat_task=True), [names, {}, EMBEDDED]) is None
    most = headers(task, retries=1_000_000_000, argsrepr="x" * 10_000)
    assert unlike_ours(most, [names, {}, EMBEDDED]) is None


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["op", "team"], "it has 2 arguments"),
        ([], "it has 0 arguments"),
        (["op", "team", *["a"] * 9_999], "it has 10001 arguments"),
        (["op", "../../admin/x?", "a"], "an argument is no name"),
        (["op", "team", "a\nb"], "an argument is no name"),
        (["op", "team", ["a"]], "an argument is no name"),
        (["x" * 129, "team", "a"], "an argument is no name"),
    ],
)
def test_names_are_parsed_on_receipt(names: list[Any], why: str) -> None:
    assert unlike_ours(headers(), [names, {}, EMBEDDED]) == why


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"id": {}}, "its id is no str"),
        ({"id": "told by\nnobody"}, "its id is no name"),
        ({"id": "x" * 129}, "its id is no name"),
        ({"retries": True}, "its retries is no int"),
        ({"retries": -1}, "its retries are no count"),
        ({"retries": 1_000_000_001}, "its retries are no count"),
        ({"root_id": 5}, "its root_id is no str"),
        ({"shadow": "lockstep.sweep"}, "it has a shadow"),
        ({"timelimit": [5, None]}, "it has a time limit"),
        ({"stamps": {"a": 1}}, "it is part of a workflow that is not ours"),
        ({"argsrepr": "x" * 10_001}, "its argsrepr is too long"),
    ],
)
def test_headers_are_those_of_ours(changed: dict[str, Any], why: str) -> None:
    assert unlike_ours(headers(**changed), [["op", "team", "a"], {}, EMBEDDED]) == why


@pytest.mark.parametrize("part", ["callbacks", "errbacks", "chain"])
def test_no_message_brings_other_tasks_along(part: str) -> None:
    names = ["op", "team", "a"]
    brought = {**EMBEDDED, part: [{"task": TaskName.SWEEP}]}
    assert (
        unlike_ours(headers(), [["op", "team", "a"], {}, brought])
        == "it is part of a workflow that is not ours"
    )
    chord = {**EMBEDDED, "chord": {"task": TaskName.SWEEP, "args": [], "options": {}}}
    assert unlike_ours(headers(), [names, {}, chord]) == "its callback is not ours"


@pytest.mark.parametrize("name", ["eta", "expires"])
def test_what_stands_for_a_time_is_not_told(name: str) -> None:
    given = headers(**{name: "nobody's words"})
    body = [["op", "team", "a"], {}, EMBEDDED]
    message = SimpleNamespace(headers=given, body=body, payload=body, content_type="", content_encoding="")
    with pytest.raises(InvalidTaskError) as caught:
        PatientRequest(message, app=APP)
    assert str(caught.value) == "its eta or expires is no time"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("task", "number"),
    [
        (TaskName.SWEEP, 0),
        (TaskName.PATROL, 0),
        (TaskName.PATROL_GROUP, 1),
        (TaskName.CONCLUDE, 2),
    ],
)
def test_a_task_takes_as_many_names_as_it_needs(task: str, number: int) -> None:
    for more in (-1, 0, 1):
        names = ["op"] * (number + more)
        said = None if len(names) == number else f"it has {len(names)} arguments"
        assert unlike_ours(headers(task), [names, {}, EMBEDDED]) == said


def test_what_celery_gives_when_it_fails_stands_for_the_same_as_in_its_own_request() -> None:
    ours, theirs = (inspect.signature(each.on_failure) for each in (PatientRequest, Request))
    for name in ("send_failed_event", "return_ok"):
        assert ours.parameters[name].default is theirs.parameters[name].default
