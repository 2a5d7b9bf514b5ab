"""What threads know of hosts together: silence, tokens, the inventory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lockstep.worker.hosts import client, wrappers
from lockstep.worker.inventory import Inventory, live
from lockstep.worker.operation.answer import LookVerdict, Reply
from lockstep.worker.operation.content import Flaw
from lockstep.worker.operation.host import Host, Silence
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings
from tests.unit.schedules import Check, Schedule, explore

NODE1, NODE2 = HostName("node1"), HostName("node2")


@dataclass
class Told:
    """What workers tell each other through Redis, where a message takes its time."""

    schedule: Schedule
    spared: bool = False
    lines: list[str] = field(default_factory=list)

    def spare(self, host: HostName, milliseconds: int, failures: int, why: str) -> None:
        self.schedule.point()
        self.spared = True
        self.schedule.point()

    def left(self, host: HostName) -> tuple[Silence, int] | None:
        return None

    def answered(self, host: HostName) -> None:
        self.schedule.point()
        self.spared = False
        self.schedule.point()


def test_what_others_hear_of_a_host_last_is_what_holds() -> None:
    def scenario(schedule: Schedule) -> Check:
        told = Told(schedule)
        sparing = wrappers.Breaker(1, 30.0, lambda: schedule.now, told)
        schedule.thread(sparing.failed, NODE1, "timeout")
        schedule.thread(sparing.answered, NODE1)

        def check() -> None:
            assert told.spared is (sparing.refusal(NODE1) is not None)

        return check

    explore(scenario, [wrappers])


def test_a_spell_that_is_over_brings_one_look_at_a_time() -> None:
    def scenario(schedule: Schedule) -> Check:
        sparing = wrappers.Breaker(1, 30.0, lambda: schedule.now, Told(schedule))
        sparing.failed(NODE1, "timeout")
        schedule.now += 31.0
        asked: list[float] = []

        def look() -> None:
            if sparing.refusal(NODE1) is None:
                asked.append(schedule.now)
                schedule.point()
                sparing.failed(NODE1, "timeout")

        schedule.thread(look)
        schedule.thread(look)

        def check() -> None:
            assert len(asked) == 1
            assert sparing.refusal(NODE1) is not None

        return check

    explore(scenario, [wrappers])


def test_an_interrupted_look_leaves_the_host_to_the_next() -> None:
    def scenario(schedule: Schedule) -> Check:
        sparing = wrappers.Breaker(1, 30.0, lambda: schedule.now, Told(schedule))
        sparing.failed(NODE1, "timeout")
        schedule.now += 31.0

        class Silent:
            fingerprint = ""

            def look_at_group(self, group: object) -> Any:
                schedule.point()
                return SimpleNamespace(flaw=Flaw.SILENT, text="timeout")

        spared = wrappers.BreakerHost(cast(Any, Silent()), NODE1, sparing)
        schedule.thread(lambda: spared.look_at_group(cast(Any, "team-a")), hears_signals=True)

        def check() -> None:
            schedule.now += 31.0
            assert sparing.refusal(NODE1) is None

        return check

    explore(scenario, [wrappers])


def test_a_call_whose_token_is_replaced_meanwhile_is_not_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"

    def scenario(schedule: Schedule) -> None:
        file.write_text("old")
        wanted = ["old"]

        def carry(call: client.Call) -> Reply:
            schedule.point()
            return Reply(404 if call.headers["Authorization"] == f"Bearer {wanted[0]}" else 401)

        def replace() -> None:
            (tmp_path / "fresh").write_text("new")
            schedule.point()
            (tmp_path / "fresh").replace(file)
            wanted[0] = "new"

        def ask() -> None:
            host = client.HostClient(Host(NODE1, "http://node1", token_file=str(file)), Settings(), carry)
            assert host.look_at_group(cast(Any, "team-a")).verdict is LookVerdict.SEEN

        schedule.thread(ask)
        schedule.thread(replace)

    explore(scenario, [client])


@pytest.fixture
def inventory_file(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yaml"
    path.write_text("hosts: [{name: node1, url: 'http://node1'}]\n")
    return path


def test_a_host_is_not_called_unknown_while_another_thread_reads_of_it(
    inventory_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.log, "info", lambda *_: None)
    one = Inventory([Host(NODE1, "http://node1")])
    both = Inventory([Host(NODE1, "http://node1"), Host(NODE2, "http://node2")])
    monkeypatch.setattr(live, "_difference", lambda old, new: "")

    def scenario(schedule: Schedule) -> None:
        read: list[object] = [one]

        def load(settings: Settings) -> Any:
            schedule.point()
            return read[0]

        monkeypatch.setattr(live, "load_inventory", load)
        inventory = live.LiveInventory(Settings(inventory=str(inventory_file)))
        read[0] = both
        version = cast(Any, inventory)._seen
        cast(Any, inventory)._version = lambda: (*version, 0)
        cast(Any, inventory)._seen_since -= 10.0
        cast(Any, inventory)._seen = (*version, 0)
        for _ in range(2):
            schedule.thread(lambda: found(inventory))

    def found(inventory: live.LiveInventory) -> None:
        assert inventory.find(NODE2) is not None

    explore(scenario, [live])
