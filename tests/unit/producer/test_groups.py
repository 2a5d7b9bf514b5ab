"""How an operation begins: what is asked of whom, with which values where none is given."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.producer.client import groups as module
from lockstep.producer.client.client import ClusterClient
from lockstep.worker.inventory import Inventory
from lockstep.worker.operation.errors import InvalidInput, NotReady
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, HostName
from lockstep.worker.operation.transitions import Accepted, Request
from lockstep.worker.operation.waves import AT_ONCE, Pace
from lockstep.worker.process.secrets import Secret
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import OPERATION

INVENTORY = Inventory(
    [
        Host(HostName("node1"), "http://node1:80", serves=("group", "rabbitmq-*")),
        Host(HostName("node2"), "http://node2:80", serves=("group",)),
    ]
)


class Scene:
    """A client whose requests are accepted here; `asked` notes in which order what is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, said: Accepted = Accepted.ACCEPTED) -> None:
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.old: list[str] = []
        usual = Settings(deadline=60.0, retries=2)
        self.client: Any = cast(Any, ClusterClient(usual, inventory=INVENTORY, created_by="alice@desk"))
        self.client._link = SimpleNamespace(
            store=SimpleNamespace(exists=lambda key: key == "known", operation=lambda _: OPERATION),
            pauses=SimpleNamespace(all=dict),
            clocks=SimpleNamespace(too_old=lambda: self.old),
            close=lambda: self.asked.append("link closed"),
        )
        self.client._broker = SimpleNamespace(
            forward=self.forward,
            close=lambda: self.asked.append("broker closed"),
        )

        def accept(link: object, request: Request, stopped: Any) -> Accepted:
            assert stopped() is False
            self.requests.append(request)
            self.asked.append("accepted")
            return said

        monkeypatch.setattr(module, "accept", accept)
        monkeypatch.setattr(module, "ask_all", lambda *_: self.asked.append("hosts asked"))

    def forward(self, _: Request) -> bool:
        self.asked.append("sent")
        return True


@pytest.mark.parametrize(
    ("key", "said", "existing", "sent"),
    [
        (None, Accepted.ACCEPTED, False, True),
        (None, Accepted.EXISTING, False, True),
        ("mine", Accepted.ACCEPTED, False, True),
        ("mine", Accepted.EXISTING, True, False),
    ],
)
def test_tasks_are_sent_by_the_call_whose_operation_it_is(
    monkeypatch: pytest.MonkeyPatch, key: str | None, said: Accepted, existing: bool, sent: bool
) -> None:
    scene = Scene(monkeypatch, said)
    told: list[object] = []
    made = scene.client.change("create", "team-a", None, {}, key, on_accepted=told.append)
    assert (made.existing, made.published) == (existing, sent)
    assert told == [made]
    assert scene.asked == ["accepted", "sent"][: 1 + sent]


@pytest.mark.parametrize(
    ("preflight", "key", "asks"),
    [
        (True, None, True),
        (True, "mine", True),
        (True, "known", False),
        (False, None, False),
        (None, None, False),
    ],
)
def test_hosts_are_asked_before_what_is_new_if_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, preflight: bool | None, key: str | None, asks: bool
) -> None:
    scene = Scene(monkeypatch)
    wanted: dict[str, Any] = {} if preflight is None else {"preflight": preflight}
    for begin in (scene.client.create_group, scene.client.delete_group):
        begin("team-a", operation_id=key, **wanted)
    scene.client.change("create", "team-a", None, {}, key, **wanted)
    assert scene.asked == ["hosts asked", "accepted", "sent"][not asks :] * 3


def test_what_is_not_given_is_as_the_settings_say_and_the_rest_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    scene.client.create_group("team-a")
    scene.client.delete_group("team-b", ["node2"], deadline=5, retries=0)
    usual, other = scene.requests
    assert (usual.deadline, usual.action, usual.rollout) == (60_000, Action.CREATE, None)
    assert (other.deadline, other.action, other.group) == (5000, Action.DELETE, "team-b")
    assert [host.name for host in other.hosts] == ["node2"]
    assert (usual.retries, other.retries) == (2, 0)
    assert (usual.created_by, usual.owner) == ("alice@desk", "alice@desk")


def test_an_operation_is_held_only_if_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    for begin in (scene.client.create_group, scene.client.delete_group):
        begin("team-a", waves="1")
        begin("team-a", waves="1", hold=True)
    rollouts = [each.rollout for each in scene.requests]
    assert [each is not None and each.hold for each in rollouts] == [False, True] * 2


def test_hosts_that_are_no_list_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="hosts 5 is of type int: give a list of names"):
        Scene(monkeypatch).client.create_group("team-a", 5)


def test_whose_an_id_is_without_a_name_is_the_users_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "whoami", lambda: "bob@work@desk")
    usual = ClusterClient(Settings(), inventory=INVENTORY)
    assert (usual.created_by, usual.owner) == ("bob@work@desk", "bob@work")
    named = ClusterClient(Settings(), inventory=INVENTORY, created_by="ci@desk")
    assert (named.created_by, named.owner) == ("ci@desk", "ci@desk")


def test_a_client_closes_what_it_has_when_its_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    with scene.client as entered:
        assert entered is scene.client
        assert scene.asked == []
    assert scene.asked == ["link closed", "broker closed"]


def test_an_inventory_is_looked_for_once_and_then_asked_for_what_is_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    def live(settings: Settings) -> object:
        made.append(settings)
        return SimpleNamespace(current=lambda: INVENTORY)

    monkeypatch.setattr(module, "LiveInventory", live)
    client = ClusterClient(Settings(), created_by="alice@desk")
    assert (client.inventory, client.inventory, made) == (INVENTORY, INVENTORY, [client.settings])


def test_what_is_no_text_names_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Scene(monkeypatch).client.named
    assert named("team-a") == named("group/team-a") == "team-a"
    with pytest.raises(InvalidInput, match="group id 5 is of type int"):
        named(5)


def test_the_handle_of_a_known_operation_is_of_one_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Scene(monkeypatch).client.operation("7f3c").existing


@pytest.mark.parametrize(
    ("verb", "given", "secrets"),
    [
        ("create", {"a": 1}, None),
        ("create", {}, {"a": "x"}),
        ("set", {}, None),
        ("delete", {"a": 1}, {"b": "x"}),
    ],
)
def test_a_group_has_no_fields(
    monkeypatch: pytest.MonkeyPatch, verb: str, given: dict[str, object], secrets: dict[str, str] | None
) -> None:
    scene = Scene(monkeypatch)
    with pytest.raises(InvalidInput, match='"team-a" names no kind, and a group has no fields: give KIND/ID'):
        scene.client.change(verb, "team-a", None, given, secrets=secrets)
    assert scene.requests == []


def test_secrets_are_hidden_from_now_on_and_given_as_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[object] = []
    monkeypatch.setattr(module, "know", lambda *texts, passing: known.append((texts, passing)))
    monkeypatch.setattr(module, "asked_of", lambda *given, **_: given)
    client = Scene(monkeypatch).client
    found = client._asked("create", ("kind", "id"), {"f": 1}, {"a": Secret("x"), "b": "y"}, False, False)
    assert known == [(("x", "y"), True)]
    assert found[:5] == ("kind", "id", "create", {"f": 1}, {"a": "x", "b": "y"})


def test_only_hosts_that_serve_a_kind_are_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Scene(monkeypatch).client.serving

    def names(*given: Any, **more: Any) -> list[str]:
        return [host.name for host in serving(*given, **more)]

    assert names("team-a") == names("team-a", ["node1", "node2"]) == ["node1", "node2"]
    assert names("rabbitmq-vhost/a") == names("rabbitmq-vhost/a", ["node1"]) == ["node1"]
    assert names("rabbitmq-vhost/a", ["node2", "node1"], some=True) == ["node1"]
    with pytest.raises(InvalidInput, match='host "node2" does not serve rabbitmq-vhost: see'):
        serving("rabbitmq-vhost/a", ["node1", "node2"])
    with pytest.raises(InvalidInput, match="no host of the inventory serves elastic: see `serves`"):
        serving("elastic/a")
    with pytest.raises(InvalidInput, match="none of the hosts asked for serves rabbitmq-vhost: see `serves`"):
        serving("rabbitmq-vhost/a", ["node2"], some=True)


def test_waves_and_limits_need_workers_that_know_them(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    assert scene.client.rollout(Pace("1"), INVENTORY) is not None
    scene.old = ["a@x"]
    assert scene.client.rollout(AT_ONCE, INVENTORY) is None
    with pytest.raises(NotReady, match="nothing was written, for a@x cannot work in waves or under limits"):
        scene.client.rollout(Pace("1"), INVENTORY)
    limited = [replace(host, limit=replace(host.limit, at_once=1)) for host in INVENTORY]
    with pytest.raises(NotReady, match="cannot work in waves"):
        scene.client.rollout(AT_ONCE, limited)
    scene.old = []
    assert scene.client.rollout(AT_ONCE, limited) is None
