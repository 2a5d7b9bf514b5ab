"""What calls do to the groups of a node, and that disk and history know before anybody is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep.mock_api.faults import InputError, Method
from lockstep.mock_api.history import CallEnd, History, Record
from lockstep.mock_api.node import EXISTS, Answer, GroupBody, Manners, Node

BODY: GroupBody = {"groupId": "a", "owner": "x"}


class Calls:
    """A node and its history, called directly."""

    def __init__(self, history: Path | None = None, state: Path | None = None) -> None:
        self.history = History(history)
        self.node = Node("node1", self.history, state=state)

    def __call__(self, method: Method, body: GroupBody | None = None) -> tuple[Answer, Record]:
        record = self.history.open(Record("node1", method, "a", body=body))
        answer = self.node.land(record, method, body or {"groupId": "a"})
        self.history.close(record, CallEnd.ANSWERED, answer.status)
        return answer, record


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_group_keeps_the_fields_it_was_given() -> None:
    call = Calls()
    assert call(Method.POST, BODY)[0] == Answer(201, BODY)
    assert call(Method.GET)[0] == Answer(200, BODY)


def test_creating_what_exists_changes_nothing() -> None:
    call = Calls()
    call(Method.POST, BODY)
    answer, record = call(Method.POST, {"groupId": "a", "owner": "y"})
    assert answer == Answer(400, {"detail": EXISTS})
    assert (record.before, record.after, record.effect_at) == (
        "present",
        "present",
        None,
    )
    assert call.node.groups == {"a": BODY}


def test_delete_removes_once() -> None:
    call = Calls()
    call(Method.POST, BODY)
    answer, record = call(Method.DELETE)
    assert answer == Answer(200)
    assert (record.before, record.after, record.effect_seq) == (
        "present",
        "absent",
        2,
    )
    assert call(Method.DELETE)[0].status == 404
    assert call(Method.GET)[0].status == 404


def test_nodes_differ_in_manners() -> None:
    call = Calls()
    call.node.manners = Manners(delete_absent=400, post_body="empty")
    assert call(Method.DELETE)[0].status == 400
    assert call(Method.POST, BODY)[0] == Answer(201)


def test_effects_are_numbered_without_gaps() -> None:
    call = Calls()
    records = [
        call(method)[1] for method in (Method.POST, Method.POST, Method.GET, Method.DELETE, Method.POST)
    ]
    assert [record.effect_seq for record in records] == [1, None, None, 2, 3]
    assert [record.seq for record in records] == [1, 2, 3, 4, 5]


def test_the_admin_plants_and_removes_in_the_same_sequence() -> None:
    call = Calls()
    record = call.history.open(Record("node1", "PUT", "a", actor="admin"))
    call.node.plant(record, BODY)
    assert (record.before, record.after, record.effect_seq) == (
        "absent",
        "present",
        1,
    )
    assert call(Method.DELETE)[1].effect_seq == 2
    record = call.history.open(Record("node1", "DELETE", "a", actor="admin"))
    assert call.node.plant(record, None).status == 404


def test_groups_outlive_the_process(tmp_path: Path) -> None:
    state = tmp_path / "state"
    Calls(state=state)(Method.POST, BODY)
    again = Calls(state=state)
    assert again(Method.GET)[0] == Answer(200, BODY)
    assert again(Method.DELETE)[1].effect_seq == 2


def test_an_effect_whose_line_was_lost_with_the_process_is_written_at_the_next_start(tmp_path: Path) -> None:
    state, history = tmp_path / "state", tmp_path / "history"
    Calls(history, state)(Method.POST, BODY)
    effect = lines(history)[0]
    history.write_text("")
    Calls(history, state)
    assert lines(history) == [effect]
    Calls(history, state)
    assert lines(history) == [effect]


def test_a_change_that_cannot_be_saved_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Calls(state=tmp_path / "state")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        call(Method.POST, BODY)
    monkeypatch.undo()
    assert call.node.groups == {}
    assert call(Method.POST, BODY)[1].effect_seq == 1


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"boxes": 1}', '{"groups": 3}'])
def test_a_foreign_state_file_is_turned_down(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state"
    state.write_text(text)
    with pytest.raises(InputError, match="is not a state file"):
        Calls(state=state)


def test_history_numbers_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history"
    Calls(path)(Method.POST, BODY)
    path.write_text(path.read_text() + '{"line": "requ')
    call = Calls(path)
    assert call(Method.POST, BODY)[1].seq == 2
    assert [line["line"] for line in map(json.loads, path.read_text().splitlines()[3:])] == [
        "effect",
        "request",
    ]


def test_a_request_that_a_reset_forgot_leaves_no_line(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    record = history.open(Record("node1", "POST", "a"))
    history.clear()
    history.close(record, CallEnd.LEFT)
    assert list(history.select()) == []
    assert [line["line"] for line in lines(tmp_path / "history")] == ["reset"]


def test_history_is_chosen_by_node_group_and_number() -> None:
    history = History()
    for node, group in (("node1", "a"), ("node2", "a"), ("node1", "b"), ("node1", "a")):
        history.open(Record(node, "GET", group))
    assert [record.seq for record in history.select("node1", "a")] == [1, 4]
    assert [record.seq for record in history.select(since=2)] == [3, 4]
