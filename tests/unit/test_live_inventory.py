"""The inventory follows its file, and nothing else."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockstep.worker.inventory import LiveInventory, live, load_inventory
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.waits import eventually

DEADLINE = Settings().deadline
NODE1, NODE2, NODE3 = (HostName(f"node{n}") for n in (1, 2, 3))


class Clock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = staticmethod(time.time)


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


def hosts(*names: str, port: int = 80) -> str:
    return "hosts:\n" + "".join(f"  - {{name: {name}, url: 'http://{name}:{port}'}}\n" for name in names)


def replace(file: Path, text: str, age: float = 60.0) -> None:
    """Put another file in its place at once, as editors and `mv` do."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    long_ago = time.time() - age
    os.utime(fresh, (long_ago, long_ago))
    fresh.replace(file)


def names(inventory: LiveInventory) -> list[str]:
    return [host.name for host in inventory.current()]


def later(inventory: LiveInventory, clock: Clock) -> list[str]:
    """The names once a second has passed."""
    clock.now += live.LOOK_EVERY
    return names(inventory)


def known(inventory: LiveInventory, name: HostName) -> Host:
    found = inventory.find(name)
    assert found is not None
    return found


def test_a_replaced_file_is_read_within_a_second_and_no_sooner(
    inventory: LiveInventory, file: Path, clock: Clock
) -> None:
    replace(file, hosts("node2", "node3"))
    clock.now -= 0.01
    assert later(inventory, clock) == ["node1", "node2"]
    clock.now += 0.02
    assert names(inventory) == ["node2", "node3"]
    assert inventory.find(NODE1) is None
    replace(file, hosts("node1"))
    assert inventory.find(NODE1) is not None, "one that is not known is looked for at once"


def test_an_unchanged_file_is_not_read_again(
    inventory: LiveInventory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "load_inventory", lambda _: pytest.fail("read again"))
    for _ in range(5):
        clock.now += 2 * live.LOOK_EVERY
        assert names(inventory) == ["node1", "node2"]


def test_a_file_that_is_being_written_is_not_read_halfway(
    inventory: LiveInventory, file: Path, clock: Clock
) -> None:
    file.write_text(hosts("node1"))
    assert later(inventory, clock) == ["node1", "node2"], "written just now: whoever writes may not be done"
    for _ in range(5):
        assert inventory.find(NODE3) is None, "many looks at once are no rest"
    assert names(inventory) == ["node1", "node2"]
    file.write_text(hosts("node1", "node3"))
    assert later(inventory, clock) == ["node1", "node2"]
    assert later(inventory, clock) == ["node1", "node3"]


def test_a_configmap_is_swapped(tmp_path: Path, clock: Clock) -> None:
    """As the kubelet does it: a link to a directory is replaced, the file's own link stays."""
    for version, text in (("v1", hosts("node1")), ("v2", hosts("node2"))):
        (tmp_path / version).mkdir()
        written = tmp_path / version / "inventory.yaml"
        replace(written, text)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "inventory.yaml").symlink_to("..data/inventory.yaml")
    inventory = LiveInventory(Settings(inventory=str(tmp_path / "inventory.yaml")))
    assert names(inventory) == ["node1"]

    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    clock.now += live.LOOK_EVERY

    assert names(inventory) == ["node2"]


BROKEN = [
    ("hosts: [", "is not plain YAML"),
    ("hosts: []\n", "has an empty list of hosts"),
    (hosts("node1", "NODE1"), 'host name "NODE1" stands twice'),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_file_leaves_what_there_was_and_is_told_once(
    inventory: LiveInventory, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    replace(file, text)
    for _ in range(3):
        clock.now += live.AFTER_A_FAULT
        assert names(inventory) == ["node1", "node2"]
        assert inventory.find(NODE3) is None
    (told,) = caplog.messages
    assert told.startswith("the inventory stays as it was, 2 hosts: ")
    assert said in told
    assert "\n" not in told
    replace(file, hosts("node3"))
    clock.now += live.AFTER_A_FAULT
    assert names(inventory) == ["node3"]


def test_a_file_that_is_gone_leaves_what_there_was(
    inventory: LiveInventory, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file.unlink()
    assert later(inventory, clock) == ["node1", "node2"]
    assert caplog.messages == [], "it may be on its way"
    assert later(inventory, clock) == ["node1", "node2"]
    assert caplog.messages[0].endswith("cannot be read: No such file or directory")


def test_a_file_that_is_replaced_while_it_is_read_is_read_once_more(
    inventory: LiveInventory, file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load_inventory

    def replaced(settings: Settings) -> object:
        found = read(settings)
        monkeypatch.setattr(live, "load_inventory", read)
        replace(file, hosts("node3"))
        return found

    monkeypatch.setattr(live, "load_inventory", replaced)
    replace(file, hosts("node2"))
    assert later(inventory, clock) == ["node1", "node2"]
    assert later(inventory, clock) == ["node3"]


def test_what_changed_is_told(
    inventory: LiveInventory, file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    replace(file, hosts("node2", "node3", port=81))
    later(inventory, clock)
    assert caplog.messages == ["inventory read again: 2 hosts; new: node3; gone: node1; changed: node2"]


def test_hosts_in_the_settings_never_change_and_a_broken_file_at_the_start_is_an_error(
    clock: Clock, tmp_path: Path
) -> None:
    inventory = LiveInventory(Settings(hosts="http://node1:1"))
    clock.now += 100
    assert names(inventory) == ["node1"]
    assert inventory.find(NODE2) is None
    with pytest.raises(InvalidInput, match="cannot be read"):
        LiveInventory(Settings(inventory=str(tmp_path / "none.yaml")))


def test_threads_see_whole_inventories_while_the_file_is_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(live, "AT_REST", 0.0)
    inventory = LiveInventory(Settings(inventory=str(file)))
    seen: set[tuple[str, ...]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(tuple(names(inventory)))

    with ThreadPoolExecutor(4) as pool, ExitStack() as end:
        end.callback(done.set)
        readers = [pool.submit(read) for _ in range(4)]
        for turn in range(20):
            wanted = ("node3",) if turn % 2 else ("node1", "node2")
            replace(file, hosts(*wanted))
            eventually(lambda now=wanted: tuple(names(inventory)) == now, "the new hosts are seen")  # type: ignore[misc]
    assert [reader.exception() for reader in readers] == [None] * 4
    assert seen == {("node1", "node2"), ("node3",)}


def test_a_host_that_left_is_remembered_for_the_operations_that_were_accepted_with_it(
    inventory: LiveInventory, file: Path, clock: Clock
) -> None:
    before = known(inventory, NODE1)
    replace(file, hosts("node2"))
    clock.now += live.LOOK_EVERY
    assert inventory.find(NODE1) is None
    assert inventory.find_as(NODE1, None) == before
    assert inventory.find_as(NODE1, before.fingerprint) == before
    assert inventory.find_as(NODE1, "another") is None
    clock.now += DEADLINE
    assert inventory.find_as(NODE1, None) is None


def test_a_host_is_known_by_an_earlier_address(inventory: LiveInventory, file: Path, clock: Clock) -> None:
    before = known(inventory, NODE1)
    replace(file, hosts("node1", "node2", port=81))
    clock.now += live.LOOK_EVERY
    now = known(inventory, NODE1)
    assert (now.url, inventory.find_as(NODE1, None)) == ("http://node1:81", now)
    assert inventory.find_as(NODE1, now.fingerprint) == now
    assert inventory.find_as(NODE1, before.fingerprint) == before
    replace(file, hosts("node1", "node2"))
    assert later(inventory, clock) == ["node1", "node2"]
    clock.now += DEADLINE - live.LOOK_EVERY - 1
    assert inventory.find_as(NODE1, before.fingerprint) == before
    assert inventory.find_as(NODE1, now.fingerprint) == now


@pytest.mark.parametrize(("name", "meant"), [(NODE1, "another"), (NODE1, None), (NODE3, None)])
def test_the_file_is_read_at_once_for_a_host_that_an_operation_means(
    inventory: LiveInventory, file: Path, name: HostName, meant: str | None
) -> None:
    replace(file, hosts("node1", "node3", port=81))
    assert known(inventory, NODE1).url == "http://node1:80", "not looked at within a second"
    assert inventory.find_as(name, meant) == (None if meant else inventory.current().find(name))
    assert [host.url for host in inventory.current()] == ["http://node1:81", "http://node3:81"]


def test_a_host_that_is_not_known_is_named_in_the_log_now_and_then(
    inventory: LiveInventory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        assert inventory.find_as(NODE3, None) is None
    assert inventory.find_as(NODE1, "another") is None
    (said,) = caplog.messages
    assert said == (
        f"host node3 is not known here: inventory {inventory.current().digest}, 2 hosts, looked at again; "
        "its steps go to other workers"
    )
    clock.now += live.SAY_EVERY
    assert inventory.find_as(NODE1, "another") is None
    assert "host node1 is at another URL here" in caplog.messages[-1]


def test_a_digest_tells_inventories_apart_by_names_and_urls(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        path = tmp_path / "some.yaml"
        path.write_text(text)
        return load_inventory(Settings(inventory=str(path))).digest

    one = digest(hosts("node1", "node2"))
    labelled = hosts("node2", "node1").replace("{name: node1", "{labels: {zone: eu}, name: node1")
    assert one == digest(hosts("node2", "node1")) == digest(labelled)
    assert one != digest(hosts("node1"))
    assert one != digest(hosts("node1", "node2", port=81))
