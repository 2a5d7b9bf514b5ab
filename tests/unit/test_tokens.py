"""A token that is replaced while it is used, over real HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import responses

from lockstep.producer.doctor.scratch import Scratch
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.operation.answer import LookAnswer, LookVerdict
from lockstep.worker.operation.content import Effect, Sight
from lockstep.worker.operation.content import WriteAnswer as KindSaid
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, HostName
from lockstep.worker.settings import Settings
from tests.unit.client import ATTEMPT, URL, G, client, write
from tests.unit.kinds.made import least, thing

pytestmark = pytest.mark.usefixtures("by_requests")

GROUPS = f"{URL}/v1/group/"
WriteAnswer = tuple[int, dict[str, str], str]


class Door:
    """A node that wants one token, which may change just before it looks."""

    def __init__(self, file: Path, wanted: str) -> None:
        self.file = file
        self.wanted = wanted
        self.shown: list[str | None] = []
        self.before_looking: Callable[[], None] = lambda: None
        """Called at the first request only."""

    def answer(self, request: requests.PreparedRequest) -> WriteAnswer:
        meanwhile, self.before_looking = self.before_looking, lambda: None
        meanwhile()
        token = request.headers.get("Authorization")
        self.shown.append(token)
        if token != f"Bearer {self.wanted}":
            return 401, {}, ""
        return (404, {}, "") if request.method == "GET" else (201, {}, "")

    def rotate(self) -> None:
        """Put the wanted token in the place of the file, as a Secret's volume does."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self.wanted}\n")
        fresh.replace(self.file)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    file = tmp_path / "token"
    file.write_text("old\n")
    return Door(file, "new")


@pytest.fixture
def host(door: Door) -> HostClient:
    return client(token_file=str(door.file))


def ask(door: Door, host: HostClient) -> LookAnswer:
    with responses.RequestsMock() as web:
        web.add_callback("GET", f"{GROUPS}g/", door.answer)
        return host.look_at_group(G)


def post(door: Door, host: HostClient) -> KindSaid:
    with responses.RequestsMock() as web:
        web.add_callback("POST", GROUPS, door.answer)
        return host.write(Action.CREATE, G, ATTEMPT, lambda: True)


def test_a_get_is_repeated_with_the_token_that_came_meanwhile(door: Door, host: HostClient) -> None:
    door.before_looking = door.rotate
    assert ask(door, host).verdict is LookVerdict.SEEN
    assert door.shown == ["Bearer old", "Bearer new"]


def test_a_get_with_the_same_token_is_not_repeated(door: Door, host: HostClient) -> None:
    assert ask(door, host).verdict is LookVerdict.MISCONFIGURED
    assert door.shown == ["Bearer old"]


def test_a_get_is_repeated_once(door: Door, host: HostClient) -> None:
    door.wanted = "another"

    def rotate_wrongly() -> None:
        door.rotate()
        door.wanted = "a third"

    door.before_looking = rotate_wrongly
    assert ask(door, host).verdict is LookVerdict.MISCONFIGURED
    assert door.shown == ["Bearer old", "Bearer another"]


def test_a_write_with_the_same_token_is_refused(door: Door, host: HostClient) -> None:
    assert post(door, host) == KindSaid(Effect.REFUSED, "401")


def test_a_write_whose_token_was_replaced_is_left_to_an_attempt_of_its_own(
    door: Door, host: HostClient
) -> None:
    door.before_looking = door.rotate
    said = post(door, host)
    assert said == KindSaid(Effect.NOT_APPLIED, "401 to a token that was replaced meanwhile")
    assert door.shown == ["Bearer old"], "nothing is sent twice within one attempt"
    assert post(door, host).effect is Effect.APPLIED


def test_a_probe_takes_a_token_that_was_replaced(door: Door) -> None:
    scratch = Scratch(Host(HostName("node1"), URL, token_file=str(door.file)), Settings())
    door.before_looking = door.rotate
    with responses.RequestsMock() as web:
        web.add_callback("POST", GROUPS, door.answer)
        assert scratch.post(G).effect is Effect.NOT_APPLIED, "it is asked again, and not found to be refused"
        assert scratch.post(G).effect is Effect.APPLIED


def test_looks_at_things_and_writes_of_them_take_a_token_that_was_replaced(
    door: Door, host: HostClient
) -> None:
    kind = least()
    vhost, put = thing(kind), kind.request("create", thing(kind))
    with responses.RequestsMock() as web:
        for method in ("GET", "PUT"):
            web.add_callback(method, f"{URL}/api/vhosts/a", door.answer)
        door.before_looking = door.rotate
        assert host.look_at_thing(kind, vhost).sight is Sight.ABSENT
        assert door.shown == ["Bearer old", "Bearer new"]
        door.wanted, door.before_looking = "newest", door.rotate
        said = host.send(kind, "create", vhost, put, ATTEMPT, lambda: True)
        assert said == KindSaid(Effect.NOT_SENT, "401 to a token that was replaced meanwhile")
        assert host.send(kind, "create", vhost, put, ATTEMPT, lambda: True).effect is Effect.APPLIED
    assert door.shown[2:] == ["Bearer new", "Bearer newest"]


def test_a_token_that_is_written_in_place_counts_too(door: Door, host: HostClient) -> None:
    def written() -> None:
        door.file.write_text("new\n")
        os.utime(door.file, (1.0, 1.0))

    door.before_looking = written
    assert ask(door, host).verdict is LookVerdict.SEEN


def test_a_refusal_is_one_in_whatever_words_it_is_told(door: Door, host: HostClient) -> None:
    kind = least()

    def answer(request: requests.PreparedRequest) -> WriteAnswer:
        status, headers, _ = door.answer(request)
        return status, headers, '{"message": "no entry"}'

    door.before_looking = door.rotate
    with responses.RequestsMock() as web:
        web.add_callback("GET", f"{GROUPS}g/", answer)
        assert host.look_at_group(G).verdict is LookVerdict.SEEN
        web.add_callback("PUT", f"{URL}/api/vhosts/a", answer)
        door.wanted, door.before_looking = "newest", door.rotate
        said = host.send(
            kind, "create", thing(kind), kind.request("create", thing(kind)), ATTEMPT, lambda: True
        )
    assert said.effect is Effect.NOT_SENT


def test_the_health_of_a_host_is_asked_for_with_the_token_that_came_meanwhile(
    door: Door, host: HostClient
) -> None:
    door.before_looking = door.rotate
    with responses.RequestsMock() as web:
        web.add_callback("GET", f"{URL}/health", door.answer)
        assert host.unwell("/health") == "404"
    assert door.shown == ["Bearer old", "Bearer new"]


def test_another_refusal_stays_one(door: Door, host: HostClient) -> None:
    def forbid(request: requests.PreparedRequest) -> WriteAnswer:
        door.rotate()
        return 403, {}, ""

    with responses.RequestsMock() as web:
        web.add_callback("POST", GROUPS, forbid)
        web.add_callback("GET", f"{GROUPS}g/", forbid)
        assert host.write(Action.CREATE, G, ATTEMPT, lambda: True).effect is Effect.REFUSED
        assert host.look_at_group(G).verdict is LookVerdict.MISCONFIGURED
        assert len(web.calls) == 2


def test_without_its_file_nothing_is_sent(door: Door, host: HostClient) -> None:
    door.file.unlink()
    assert host.look_at_group(G).text == "not sent: token file of node1: No such file or directory"
    assert write(client(token_file=str(door.file))).effect is Effect.NOT_APPLIED
