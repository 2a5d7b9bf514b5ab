"""What doctor says of what it found, word for word, on both sides of each limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.producer.doctor import Finding, Level
from lockstep.producer.doctor.checks import WorkFacts, on_damage, on_inventories, on_uncovered, on_work
from lockstep.worker.operation.model import GroupId, HostName, Loss, Millis, OperationId
from lockstep.worker.record.damage import Damage
from lockstep.worker.record.reports import HeldInventory
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import WORK


def of(subject: str, work: WorkFacts, settings: Settings | None = None) -> list[Finding]:
    """What is found of one subject."""
    return [each for each in on_work(work, settings or Settings()) if each.subject == subject]


def test_all_is_told_of_workers_that_are_well() -> None:
    assert [f"{each.subject}: {each.text}" for each in on_work(WORK, Settings())] == [
        "queue operations: a@x; 0 tasks wait",
        "queue rollback: b@x; 0 tasks wait",
        "versions: lockstep 1.2.0, celery 5.7.0 everywhere",
        "beat: alive: a sweep runs every 2 s",
        "operations: none needs a person",
        "patrol: no group is overdue",
        "clock: all within 5 s of Redis'",
    ]


@pytest.mark.parametrize(("stuck", "told"), [(1, "1 needs a person"), (2, "2 need a person")])
def test_operations_that_need_a_person_are_counted(stuck: int, told: str) -> None:
    (found,) = of("operations", replace(WORK, stuck=stuck))
    assert (found.level, found.text, found.remedy) == (Level.WARNING, told, "lockstep list --stuck")


def test_operations_whose_record_is_gone_are_named_with_a_look_at_the_first() -> None:
    lost = [Loss(OperationId(f"op-{n}"), GroupId(f"team-{n}"), None, Millis(0)) for n in (1, 2)]
    _, found = of("operations", replace(WORK, lost=lost))
    assert found.level is Level.FAILURE
    assert found.text == ("the record of op-1 on team-1, op-2 on team-2 is gone: hosts may have been changed")
    assert found.remedy == "lockstep drift op-1"


@pytest.mark.parametrize(
    ("every", "left", "held"),
    [
        (2.0, -1, "for ever"),
        (2.0, 0, None),
        (2.0, 1000, None),
        (2.0, 60_000, None),
        (2.0, 60_001, "for 1 min more"),
        (2.0, 3_600_000, "for 1 h more"),
        (200.0, 100_000, None),
        (200.0, 100_001, "for 1 min 40 s more"),
    ],
)
def test_a_lease_that_no_worker_can_have_taken_is_a_failure(
    every: float, left: int, held: str | None
) -> None:
    (found,) = of("beat", replace(WORK, leased=left), Settings(sweep_every=every))
    if held is None:
        assert found.level is Level.OK
        return
    assert found.level is Level.FAILURE
    assert found.text == f"the sweep's lease is held {held}, which no worker asks for: no sweep runs"
    assert found.remedy == "see who may write to Redis, then DEL lockstep:lease:sweep"


def test_twenty_damaged_ones_are_named_and_the_others_counted_with_the_remedy_of_the_last() -> None:
    damaged = [Damage("end", f"lockstep:ends:{n}", "node1", "it is no JSON") for n in range(22)]
    for many, told in ((20, None), (21, "1 more cannot be read"), (22, "2 more cannot be read")):
        found = on_damage(damaged[:many])
        assert [each.text for each in found[:20]] == [each.text for each in damaged[:20]]
        rest = [(each.level, each.text, each.remedy) for each in found[20:]]
        assert rest == ([(Level.FAILURE, told, found[19].remedy)] if told else [])


NOW = Millis(1_000_000)
ONE, OTHER = HeldInventory("3f2a91c04b11", 3, NOW), HeldInventory("77aa00bb11cc", 4, NOW)


@pytest.mark.parametrize(
    ("here", "level", "told"),
    [
        (ONE, Level.OK, "3f2a91c04b11, 3 hosts: here, a@x (read just now)"),
        (None, Level.OK, "3f2a91c04b11, 3 hosts: a@x (read just now)"),
        (OTHER, Level.WARNING, "77aa00bb11cc, 4 hosts: here; 3f2a91c04b11, 3 hosts: a@x (read just now)"),
    ],
)
def test_the_inventory_of_this_machine_is_compared_too_where_it_has_one(
    here: HeldInventory | None, level: Level, told: str
) -> None:
    (found,) = on_inventories(here, {"a@x": ONE}, NOW)
    assert (found.level, found.text) == (level, told)


def test_of_several_hosts_that_lack_the_same_the_first_is_told_to_be_synchronised() -> None:
    names = [HostName(f"node{number}") for number in range(1, 6)]
    (found,) = on_uncovered(names, [set(names[:2])] * 3)
    assert found.text == "node1, node2: no operation on 3 of 3 groups covered it: it lacks what others hold"
    assert found.remedy == "lockstep sync node1 --dry-run  # then without it"
