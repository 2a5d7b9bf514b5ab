"""What a file of groups means, and the ids that make a run resumable."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest

from lockstep.producer.operators import batch, hosts
from lockstep.producer.operators.batch import Wish, apply, operation_id, parse_run, parse_wishes
from lockstep.worker.kinds import asked_of
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.monitoring.heartbeat import frames
from lockstep.worker.operation.content import Id
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.model import Action, GroupId, HostName, State
from lockstep.worker.operation.names import parse_operation_id
from tests.unit.kinds.made import LEAST, kind_of, thing
from tests.waits import PATIENCE, eventually

A, B = Wish(Action.CREATE, GroupId("team-a")), Wish(Action.DELETE, GroupId("team-b"))
ONE, TWO = HostName("node1"), HostName("node2")


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("team-a\n", (A,)),
        ("# all\n\n  team-a  # ours\nteam-a\n", (A,)),
        ("present: [team-a]\nabsent:\n- team-b\n", (A, B)),
        ("absent: [team-b]\npresent:\n", (B,)),
    ],
)
def test_wishes_are_read_from_lines_and_documents(text: str, wishes: tuple[Wish, ...]) -> None:
    assert parse_wishes(text) == wishes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are no groups"),
        ("present: []", "there are no groups"),
        ("team a", 'group id "team a" has a character outside'),
        ("present: [team-a]\nabsent: [team-a]", 'group "team-a" shall be both present and absent'),
        ("present: [5]", "group id 5 is of type int"),
        ("present: team-a", "present is no list"),
        ("present: [a]\ngone: [b]", 'unknown key "gone"'),
        ("present: [a", "not plain YAML"),
    ],
)
def test_wishes_that_cannot_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_wishes(text)
    assert said in str(refused.value)


USER = kind_of(LEAST.replace("fields:", "fields:\n  password: {secret: true}\n  pin: {sensitive: true}"))


def test_a_secret_is_read_from_a_file_beside_the_file_of_wishes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hush-hush\n")

    def named(name: object) -> tuple[Kind, Id]:
        return USER, thing(USER)

    wanted = "present:\n- vhost/a: {description: {file: a.txt}, PLACE: {file: FILE}}"
    for place in ("password", "pin"):
        text = wanted.replace("PLACE", place)
        (wish,) = parse_wishes(text.replace("FILE", "a.txt"), named, tmp_path)
        assert (wish.fields, wish.secrets) == ({"description": {"file": "a.txt"}}, {place: "hush-hush"})
        assert "hush" not in repr(wish)
        client = Mock(serving=Mock(return_value=[]))
        client.change.return_value.wait.return_value = Mock(state=State.COMMITTED, reason=None)
        assert [came.state for came in apply(client, "run", [wish], [ONE])] == [State.COMMITTED]
        assert client.change.call_args.kwargs["secrets"] == wish.secrets
        assert client.change.call_args.kwargs["upsert"]
        assert client.change.call_args.kwargs["accept_loss"] is False
        client.serving.assert_called_once_with(wish.group, [ONE], some=True)
        with pytest.raises(
            InvalidInput, match=f'file "b.txt" of the {place} of "vhost/a" cannot be read: No such'
        ):
            parse_wishes(text.replace("FILE", "b.txt"), named, tmp_path)


PLAIN, ONCE = kind_of(LEAST), kind_of(LEAST.replace("update: PUT /api/vhosts/{id}\n", ""))


@pytest.mark.parametrize(
    ("kind", "wanted", "wish"),
    [
        (PLAIN, {"present": ["vhost/a"]}, Wish("set", GroupId("vhost/a"))),
        (PLAIN, {"present": [{"vhost/a": None}]}, Wish("set", GroupId("vhost/a"))),
        (
            PLAIN,
            {"present": [{"vhost/a": {"tags": ["x"]}}]},
            Wish("set", GroupId("vhost/a"), {"tags": ["x"]}),
        ),
        (ONCE, {"present": ["vhost/a"]}, Wish("create", GroupId("vhost/a"))),
        (PLAIN, {"absent": ["vhost/a"]}, Wish("delete", GroupId("vhost/a"))),
    ],
)
def test_a_thing_is_wished_with_its_fields(kind: Kind, wanted: dict[str, object], wish: Wish) -> None:
    assert parse_wishes(wanted, lambda _: (kind, thing(kind))) == (wish,)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"present": [{"vhost/a": ["x"]}]}, "that are no mapping: it needs a mapping of fields"),
        ({"absent": [{"vhost/a": 5}]}, "that are no mapping: it is to be deleted, and needs none"),
        ({"absent": [{"vhost/a": {"tags": [], "x": 1}}]}, "tags, x: it is to be deleted, and needs none"),
    ],
)
def test_fields_that_a_thing_cannot_have_are_refused(wanted: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_wishes(wanted, lambda _: (PLAIN, thing(PLAIN)))
    assert str(refused.value) == f'"vhost/a" has fields {said}'


def test_a_secret_in_the_open_is_refused_before_a_key_is_asked_for() -> None:
    with pytest.raises(
        InvalidInput, match=r"--secret password=@FILE, .* to apply as password: \{file: PATH\}"
    ):
        asked_of(USER, thing(USER), "set", {"password": "x"}, {}, SealKeys())


def test_things_are_changed_one_by_one_and_groups_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Mock()
    monkeypatch.setattr(batch, "as_they_come", taken)
    for wishes in ([A, B], [A, Wish("set", GroupId("vhost/a"))]):
        taken.return_value = (each for each in list[object]())
        assert list(apply(Mock(), "run", wishes, [ONE])) == []
    assert [call.args[2] for call in taken.call_args_list] == [batch.SIDE_BY_SIDE, 1]


def test_an_id_is_the_same_for_the_same_wish_alone() -> None:
    mine = operation_id("run", A, [ONE, TWO])
    assert mine == operation_id("run", A, [TWO, ONE])
    assert mine == "run-8c866cb9727c66f9", "a run is resumed by a later version too"
    others = [
        operation_id("run", A, [ONE]),
        operation_id("run", B, [ONE, TWO]),
        operation_id("r", A, [ONE, TWO]),
        operation_id("run", replace(A, target="d1"), [ONE, TWO]),
    ]
    assert len({mine, *others}) == 5
    sealed = replace(A, fields={"value": "canary"})
    assert mine == operation_id("run", sealed, [ONE, TWO]), "nobody can try what a field holds"
    assert "canary" not in repr(sealed)


def test_the_longest_run_has_room_for_its_operations() -> None:
    assert parse_operation_id(operation_id(parse_run("r" * 80), A, [ONE]))
    with pytest.raises(InvalidInput, match="too long: at most 80 characters"):
        parse_run("r" * 81)


def test_a_ctrl_c_is_heard_that_did_not_end_the_wait() -> None:
    """The wait has begun and sleeps, and Python was told on another thread, as just before it."""
    over, main, looks, late = threading.Event(), threading.main_thread(), 0, list[bool]()

    def asleep() -> bool:
        nonlocal looks
        there = frames()[cast(int, main.ident)].f_code.co_filename == hosts.__file__
        looks = looks + 1 if there else 0
        return looks > 9  # not on its way to it

    def wait(_: float) -> None:
        eventually(asleep, "the main thread waits")
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        late.append(not over.wait(PATIENCE))
        raise InvalidInput("it was not heard")

    client = Mock(serving=Mock(return_value=[]))
    client.change.return_value.wait.side_effect = wait
    with pytest.raises(KeyboardInterrupt):
        next(apply(client, "run", [A], [ONE]))
    over.set()
    assert not any(late)
