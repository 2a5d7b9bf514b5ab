"""Each fault of an installation is found, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from lockstep.producer.doctor import Level, facts
from lockstep.producer.doctor.checks import (
    About,
    WorkFacts,
    on_hosts,
    on_inventories,
    on_seals,
    on_settings,
    on_stalls,
    on_uncovered,
    on_versions,
    on_work,
)
from lockstep.worker.connection import SKEW
from lockstep.worker.operation.model import HostName, Millis
from lockstep.worker.record.reports import HeldInventory, Stall
from lockstep.worker.settings import Settings
from tests.unit.producer.samples import HERE, IDLE, WORK


@pytest.mark.parametrize(
    ("work", "level", "subject"),
    [
        (
            replace(WORK, queues={"a@x": ["operations"], "b@x": ["operations"]}),
            Level.FAILURE,
            "queue rollback",
        ),
        (replace(WORK, queues={"a@x": ["rollback"], "b@x": ["rollback"]}), Level.FAILURE, "queue operations"),
        (replace(WORK, lengths={**IDLE, "operations": 701}), Level.WARNING, "queue operations"),
        (
            replace(WORK, lengths={**IDLE, "operations": 401}, growth={**IDLE, "operations": 1.0}),
            Level.WARNING,
            "queue operations",
        ),
        (replace(WORK, swept=False), Level.FAILURE, "beat"),
        (replace(WORK, stuck=1), Level.WARNING, "operations"),
        (replace(WORK, failing={"sweep": "[Errno 24] Too many open files"}), Level.FAILURE, "sweep"),
        (replace(WORK, failing={"patrol": "no host was asked"}), Level.FAILURE, "patrol"),
        (replace(WORK, patrol_overdue=130, patrol_lag=600_000), Level.WARNING, "patrol"),
        (replace(WORK, clocks={"this machine": -SKEW - 1}), Level.WARNING, "clock"),
        (replace(WORK, clocks={"this machine": 0, "beat@x": SKEW + 1}), Level.WARNING, "clock"),
        (
            replace(WORK, workers={"a@x": HERE, "b@x": replace(HERE, lockstep="1.1.0")}),
            Level.WARNING,
            "versions",
        ),
        (
            replace(WORK, workers={"a@x": HERE, "b@x": replace(HERE, celery="5.6.0")}),
            Level.WARNING,
            "versions",
        ),
        (replace(WORK, workers={"a@x": HERE, "b@x": None}), Level.WARNING, "versions"),
        (replace(WORK, workers={"a@x": HERE}), Level.WARNING, "worker"),
        (replace(WORK, workers={**WORK.workers, "c@x": HERE}), Level.WARNING, "worker"),
    ],
)
def test_work_that_is_not_done(work: WorkFacts, level: Level, subject: str) -> None:
    (bad,) = (each for each in on_work(work, Settings()) if each.level is not Level.OK)
    assert (bad.level, bad.subject) == (level, subject)
    assert bad.remedy


def test_work_that_is_done() -> None:
    at_its_limits = replace(
        WORK,
        lengths={"operations": 700, "rollback": 400},
        growth={"operations": -3.0, "rollback": 1.0},
        patrol_overdue=3,
        patrol_lag=599_999,
        clocks={"this machine": SKEW},
    )
    assert {each.level for each in on_work(at_its_limits, Settings())} == {Level.OK}


def test_a_patrol_that_is_behind_says_by_how_much() -> None:
    late = replace(WORK, patrol_overdue=130, patrol_lag=740_000)
    (found,) = (each for each in on_work(late, Settings()) if each.subject == "patrol")
    waiting = "130 groups overdue, the first for 12 min 20 s"
    assert found.text == f"{waiting}: writes that land late are found late"
    assert found.remedy == "raise LOCKSTEP_PATROL_BATCH (20), or start workers of the queue rollback"


def test_a_wrong_clock_names_the_machine_and_what_suffers() -> None:
    clocks = {"this machine": 40, "beat@x": 3_600_000, "a@x": -61_000}
    (found,) = (each for each in on_work(replace(WORK, clocks=clocks), Settings()) if each.subject == "clock")
    assert "a@x 1 min 1 s behind, beat@x 1 h ahead;" in found.text
    assert "this machine" not in found.text
    suffers = "the times that these log and show are wrong, and they may refuse certificates"
    assert found.text.endswith(f"; {suffers}; operations are not affected")


def test_hosts_that_do_not_answer_are_a_failure() -> None:
    bad, good = on_hosts({"node1": None, "node2": "403", "node3": None})
    assert (bad.level, bad.text) == (Level.FAILURE, "node2: 403")
    assert (good.level, good.text) == (Level.OK, "2 hosts answering")
    assert [each.level for each in on_hosts({"node1": "403"})] == [Level.FAILURE]


def test_a_mixed_set_of_versions_names_who_runs_what() -> None:
    newer = replace(HERE, lockstep="1.3.0")
    (found,) = on_versions(HERE, {"b@x": newer, "a@x": newer, "c@x": HERE, "d@x": None})
    said = "lockstep 1.2.0, celery 5.7.0: here, c@x; lockstep 1.3.0, celery 5.7.0: a@x, b@x; older ones: d@x"
    assert (found.level, found.text) == (Level.WARNING, said)
    (same,) = on_versions(HERE, {"a@x": HERE})
    assert (same.level, same.text) == (Level.OK, "lockstep 1.2.0, celery 5.7.0 everywhere")
    assert on_versions(HERE, {}) == []


def test_a_worker_that_is_late_with_an_answer_is_not_called_older() -> None:
    texts = {each.text for each in on_work(replace(WORK, workers={"a@x": HERE}), Settings())}
    assert "b@x answered one of two questions in time" in texts
    assert "lockstep 1.2.0, celery 5.7.0 everywhere" in texts


@pytest.mark.parametrize(
    ("told", "versions"),
    [
        ([], {}),
        ([{"a@x": {"error": "KeyError('lockstep_about')"}}], {"a@x": None}),
        ([{"a@x": {"lockstep": "1.2.0", "celery": "5.7.0"}}], {"a@x": HERE}),
    ],
)
def test_a_worker_that_does_not_know_the_question_is_told_from_one_that_is_late(
    told: list[object], versions: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Mock()
    app.control.inspect.return_value.active_queues.return_value = {"a@x": [{"name": "operations"}]}
    app.control.broadcast.return_value = told
    monkeypatch.setattr(facts, "make_app", lambda _: app)
    assert facts._workers(Settings()) == ({"a@x": ["operations"]}, versions)


def test_seal_keys_have_to_be_the_same_everywhere() -> None:
    def judged(here: str, **workers: str) -> list[tuple[Level, str]]:
        told = {name: About("1.2.0", "5.7.0", keys) for name, keys in workers.items()}
        return [(each.level, each.text) for each in on_seals(replace(HERE, seals=here), told)]

    assert judged("", a="", b="") == [], "no kind with secrets is used"
    assert judged("k1", a="k1") == [(Level.OK, "k1: here, a")]
    assert judged("", a="k1", b="k1") == [(Level.OK, "k1: a, b")], "whoever only looks needs none"
    assert judged("k2, k1", a="k1", b="") == [(Level.WARNING, "k2, k1: here; k1: a; none: b")]


def test_without_a_sweep_the_remedy_is_what_is_missing() -> None:
    def remedy(work: WorkFacts) -> str | None:
        return next(each.remedy for each in on_work(work, Settings()) if each.subject == "beat")

    assert remedy(replace(WORK, swept=False)) == "start beat: celery -A lockstep beat"
    tried = replace(WORK, swept=False, failing={"sweep": "MemoryError()"})
    assert remedy(tried) == "mend what keeps the sweep from being done, then see whether beat runs"
    told = [each.text for each in on_work(replace(WORK, swept=False, baking=2), Settings())]
    assert any(text.endswith("no bake ends, and 2 operations with waves can only wait") for text in told)
    alone = replace(WORK, swept=False, queues={"a@x": ["operations"]})
    assert remedy(alone) == "start a worker of the queue rollback, then see whether beat runs"


def test_the_settings_that_are_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_DEADLINE", "9")
    found = on_settings(Settings(redis_url="redis://r/0"), stack=False)
    assert found.text == "LOCKSTEP_REDIS_URL, LOCKSTEP_DEADLINE set, all others by default"
    assert on_settings(Settings(), stack=True).text == "those of the stack that `make up` started here"


NOW = Millis(1_000_000)


FEW, MANY = (
    HeldInventory("3f2a91c04b11", 3, Millis(NOW - 240_000)),
    HeldInventory("77aa00bb11cc", 4, Millis(NOW - 5_000)),
)


def test_one_inventory_everywhere_is_well() -> None:
    (found,) = on_inventories(MANY, {"a@x": MANY, "b@x": MANY}, NOW)
    assert found.level is Level.OK
    assert found.text == "77aa00bb11cc, 4 hosts: here, a@x (read 5 s ago), b@x (read 5 s ago)"


def test_workers_that_have_another_inventory_are_named_with_its_age() -> None:
    (found,) = on_inventories(MANY, {"a@x": MANY, "b@x": FEW}, NOW)
    assert found.level is Level.WARNING
    assert found.text == (
        "77aa00bb11cc, 4 hosts: here, a@x (read 5 s ago); 3f2a91c04b11, 3 hosts: b@x (read 4 min ago)"
    )
    assert found.remedy
    assert "docs/operations.md#add-change-or-remove-a-node" in found.remedy


def test_a_file_that_is_not_taken_is_a_warning() -> None:
    broken = replace(MANY, fault='host name "node1" stands twice')
    (found,) = on_inventories(MANY, {"a@x": broken}, NOW)
    assert found.level is Level.WARNING
    assert 'of a@x says now is not taken: host name "node1" stands twice' in found.text
    assert "mend the file" in str(found.remedy)


def test_where_no_worker_tells_nothing_is_compared() -> None:
    assert on_inventories(MANY, {}, NOW) == []


def test_a_node_that_no_operation_covered_is_named() -> None:
    names = [HostName("node1"), HostName("node9")]
    (found,) = on_uncovered(names, [{HostName("node9")}] * 7)
    assert (found.subject, found.level) == ("host", Level.WARNING)
    assert found.text.startswith("node9: no operation on 7 of 7 groups covered it")
    assert found.remedy
    assert found.remedy.startswith("lockstep sync node9 ")
    assert on_uncovered(names, [set()] * 7) == []
    assert on_uncovered(names, []) == [], "nothing is anywhere"


def test_a_node_that_lacks_the_things_of_a_kind_is_named() -> None:
    names = [HostName("node1"), HostName("node9")]
    (found,) = on_uncovered(names, [{HostName("node9")}] * 7, "notice")
    assert found.text == "node9: no operation on 7 of 7 notices covered it: it lacks what others hold"
    assert found.remedy == "lockstep drift"


def test_a_node_that_some_operations_covered_lacks_the_groups_of_all_others() -> None:
    names = [HostName(f"node{number}") for number in range(1, 6)]
    before = [{HostName("node4"), HostName("node5")}] * 300
    found = on_uncovered(names, [*before, {HostName("node5")}, set()])
    assert [each.text.partition(" covered")[0] for each in found] == [
        "node4: no operation on 300 of 302 groups",
        "node5: no operation on 301 of 302 groups",
    ]


def test_groups_for_some_hosts_alone_make_no_host_a_new_one() -> None:
    names = [HostName(f"node{number}") for number in range(1, 5)]
    here, there = set(names[:2]), set(names[2:])
    assert on_uncovered(names, [here] * 5 + [there] * 5) == []


def test_a_worker_that_stood_still_is_named_with_what_it_was_at() -> None:
    (found,) = on_stalls([Stall("operations@x", 65_000, "a step on node3 has gone on for 185 s")])
    assert found.level is Level.WARNING
    assert found.text == (
        "operations@x stood still 1 min 5 s ago and ended itself: a step on node3 has gone on for 185 s"
    )
