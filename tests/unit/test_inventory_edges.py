"""Inventories at the edges of their rules, and when a file is looked at."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lockstep.worker.inventory import Inventory, LiveInventory, live, load_inventory
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.test_inventory import entry, from_text, refusal
from tests.unit.test_live_inventory import Clock, hosts, names, replace

NODE3 = HostName("node3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"zeta: 1\nalpha: 1\n{entry()}", 'inventory key "alpha" is unknown; known: hosts, defaults, kinds'),
        (entry(colour="red", age="7"), 'inventory entry 1 has the unknown key "colour"; known: name, url'),
        (f"defaults: {{wave: 1, beak: 2}}\n{entry()}", 'inventory defaults: the unknown key "wave"; give a'),
        (f"defaults: {{waves: 1, wave_by: 2}}\n{entry()}", "inventory defaults: wave_by 2: give a label"),
        (f"defaults: {{health: up}}\n{entry()}", 'inventory defaults has health "up": give a path'),
        (
            entry(url="https://a", server_name="'a b'"),
            'host "node1" has server_name "a b": give a name as in its',
        ),
        (entry(serves="rabbit"), 'host "node1" has serves "rabbit": give kinds, such as [rabbitmq-*]'),
        (entry(serves="[]"), 'host "node1" has serves []: give kinds, such as [rabbitmq-*]'),
        (
            entry(auth="{basic: /l, more: 1}"),
            "host \"node1\" has auth {'basic': '/l', 'more': 1}: ",
        ),
        (
            entry(auth="{header: X, file: /k, more: 1}"),
            "host \"node1\" has auth {'header': 'X', 'file':",
        ),
    ],
)
def test_the_first_of_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


def test_a_host_of_a_file_is_verified_and_shows_its_writes_at_once_unless_it_says_otherwise(
    tmp_path: Path,
) -> None:
    (host,) = from_text(tmp_path, entry(url="https://node1"))
    assert (host.verify, host.shows_after, host.serves) == (True, 0.0, ("*",))
    (host,) = from_text(tmp_path, entry(shows_after="10s"))
    assert host.shows_after == Settings().settle_seconds, "the longest that may be"


def test_hosts_that_no_name_tells_apart_are_refused_by_the_longest_of_their_names() -> None:
    with pytest.raises(InvalidInput, match='host name "gw-80-a-20b" stands twice'):
        load_inventory(Settings(hosts="http://gw/a%20b,http://gw/a-20b"))


def test_ten_hosts_are_listed_in_full_and_a_digest_has_twelve_characters() -> None:
    known = Inventory(Host(HostName(f"n{n}"), f"http://n{n}:80") for n in range(10))
    with pytest.raises(InvalidInput, match=r"known: n0, n1, n2, n3, n4, n5, n6, n7, n8, n9$"):
        known.select(["missing"])
    assert len(known.digest) == 12


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(live, "time", made)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yaml"
    path.write_text(hosts("node1", "node2"))
    return path


@pytest.fixture
def inventory(file: Path, clock: Clock) -> LiveInventory:
    return LiveInventory(Settings(inventory=str(file)))


def test_a_file_is_looked_at_every_second(inventory: LiveInventory, file: Path, clock: Clock) -> None:
    for wanted in (["node2"], ["node3"]):
        before = names(inventory)
        replace(file, hosts(*wanted), age=1.2)
        clock.now += 0.99
        assert (names(inventory), round(inventory.age, 2)) == (before, 0.99)
        clock.now += 0.01
        assert (names(inventory), inventory.age) == (wanted, 0)


def test_a_file_that_is_written_in_place_is_taken_once_it_has_rested_for_a_second(
    inventory: LiveInventory, file: Path, clock: Clock
) -> None:
    file.write_text(hosts("node3"))
    later = time.time() + 60  # whatever its time of writing says
    os.utime(file, (later, later))
    clock.now += 5
    assert names(inventory) == ["node1", "node2"], "seen for the first time"
    clock.now += 1
    assert names(inventory) == ["node3"]


def test_a_file_that_could_not_be_taken_is_read_again_after_five_seconds(
    inventory: LiveInventory, file: Path, clock: Clock
) -> None:
    replace(file, "hosts: []")
    clock.now += 1
    assert names(inventory) == ["node1", "node2"]
    replace(file, hosts("node3"))
    clock.now += 4.99
    assert names(inventory) == ["node1", "node2"]
    clock.now += 0.01
    assert names(inventory) == ["node3"]


def test_an_unknown_host_is_named_every_ten_seconds(
    inventory: LiveInventory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds, told in ((0, 1), (9.99, 1), (0.01, 2), (9.99, 2)):
        clock.now += seconds
        assert inventory.find_as(NODE3, None) is None
        assert len(caplog.messages) == told


def test_who_needs_a_host_waits_for_a_look_under_way_and_nobody_else_does(
    inventory: LiveInventory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bool] = []

    class Taken:
        def acquire(self, blocking: bool) -> bool:
            waited.append(blocking)
            return False

        def release(self) -> None:
            pytest.fail("it is another thread's")

    monkeypatch.setattr(inventory, "_looking", Taken())
    inventory.find(NODE3)
    inventory.find_as(NODE3, None)
    clock.now += 1
    inventory.current()
    assert waited == [True, True, False]


def test_hosts_that_are_gone_for_long_are_not_kept(
    inventory: LiveInventory, file: Path, clock: Clock
) -> None:
    for number in range(5):
        replace(file, hosts(f"other{number}"))
        clock.now += Settings().deadline
        assert names(inventory) == [f"other{number}"]
    assert [host.name for host, _ in inventory._former.values()] == ["other3"]
