"""Operations in waves, as people see them: one record in Redis, its steps done by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lockstep import ClusterClient, GroupBusy, NotReady
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import AttemptId, Stage
from lockstep.worker.operation.transitions import Phase
from lockstep.worker.operation.waves import Health
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import WriteLimits
from lockstep.worker.settings import Settings
from lockstep.worker.tasks.figures import FiguresReader
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import NODE1, NODE2, Hand
from tests.waits import PATIENCE, eventually


def pass_gate(hand: Hand, operation: str, host: str, look: str) -> None:
    kept = hand.store.operation(operation)  # type: ignore[arg-type]
    assert kept is not None
    assert kept.rollout is not None
    number, now = kept.rollout.round, hand.store.now()
    hand.store.gate_seen(operation, host, number, now, AttemptId(look), Health.WELL, "shows present")  # type: ignore[arg-type]


def test_every_view_tells_how_far_it_is_and_what_it_went_through(
    lockstep: Run, cluster: ClusterClient, hand: Hand, settings: Settings, tmp_path: Path
) -> None:
    operation = cluster.create_group("team-a", waves="1,100%", bake=0.3)
    assert "applying, wave 1/2 working" in lockstep("list").out
    hand.apply(operation, NODE1)
    eventually(lambda: phase_claimed(hand, operation) is Phase.GATE, "its bake is over, and the gate opens")
    assert stage(operation.status()) is Stage.GATING
    assert "waves      wave 1 of 2, gating in round 1" in lockstep("status", operation.id).out
    operation.hold("node1 is slow")
    pass_gate(hand, operation.id, NODE1, "l1")
    told = lockstep("show", operation.id).out
    assert "wave 1 of 2, waiting, held by alice@desk: node1 is slow" in told
    assert "HOST   WAVE  BEFORE" in told
    gate = "gate             shows present"
    for said in ("wave 1 done", "gate, round 1", gate, "passed, round 1", "held "):
        assert said in told, told
    assert "by alice@desk: node1 is slow" in told
    assert "applying, wave 1/2 held by alice@desk: node1 is slow, " in lockstep("history").out

    figures = FiguresReader(settings).read()
    assert figures["wave"] == {operation.id: 1}
    bake = figures["operations_stuck"], figures["baking_seconds"], figures["bake_overdue_seconds"]
    assert bake == (0, {}, 0.0)
    assert 0 <= figures["held_seconds"][operation.id] < 60

    assert lockstep("promote", operation.id, "--as", "bob", "--reason", "it is well").code == 0
    assert "applying, wave 1/2 gating, promoted by bob: it is well, " in lockstep("history").out
    eventually(lambda: stage(operation.status()) is Stage.GATING, "another round opens")
    told = lockstep("show", operation.id).out
    assert "hold       promoted by bob: it is well, " in told
    assert re.search("released +by bob: it is well", told)
    pass_gate(hand, operation.id, NODE1, "l2")
    document = json.loads(lockstep("status", operation.id, "--json").out)
    assert [each["what"] for each in document["waves"]["course"]][-3:] == ["gate", "passed", "wave"]
    named = [(each["what"], each["said"]) for each in document["waves"]["course"] if each["said"]]
    assert named == [("held", "alice@desk: node1 is slow"), ("released", "bob: it is well")]
    assert [each["wave"] for each in document["hosts"]] == [1, 2, 2]
    operation.cancel("enough")
    hand.restore(operation, NODE1)
    assert [each.said for each in operation.wait(PATIENCE).course if each.what == "released"] == [
        "bob: it is well"
    ]
    told = lockstep("status", operation.id).out
    waves = re.search(r"^waves +(2 of 2 opened, .*)$", told, re.MULTILINE)
    assert waves
    page = tmp_path / "report.html"
    lockstep("report", operation.id, "--html", str(page))
    assert "<title>wave 2 opened</title>" in page.read_text("utf-8")
    assert f"<dt>Waves</dt><dd>{waves[1]}</dd>" in page.read_text("utf-8")


def phase_claimed(hand: Hand, operation: Operation) -> Phase | None:
    claim = hand.store.claim(operation.id, resume=True)
    return None if claim is None else claim.phase


def stage(operation: object) -> Stage:
    return operation.rollout.stage  # type: ignore[attr-defined,no-any-return]


def test_who_holds_and_who_promotes_is_told_what_stands(
    lockstep: Run, cluster: ClusterClient, hand: Hand
) -> None:
    operation = cluster.create_group("team-a", waves="1,100%", hold=True)
    hand.apply(operation, NODE1)
    said = lockstep("hold", operation.id, "--reason", "node1 is slow", "--as", "bob").out
    assert said == f"held operation {operation.id} after wave 1 (waiting), until somebody promotes it\n"
    for number in ("1", "7"):
        refused = lockstep("promote", operation.id, "--hold", number)
        assert refused.code == 8
        assert re.search(
            r"cannot be promoted: hold 2 is on it, by bob since 20.*: node1 is slow$", refused.err
        )
    assert lockstep("promote", operation.id, "--hold", "2").code == 0
    refused = lockstep("promote", operation.id, "--hold", "7")
    assert refused.err.endswith("cannot be promoted: that hold is not on it\n")


def test_nobody_waits_for_a_group_that_cannot_be_free_in_time(
    cluster: ClusterClient, hand: Hand, lockstep: Run
) -> None:
    baking = cluster.create_group("team-b", waves="1,100%", bake="2h")
    hand.apply(baking, NODE1)
    with pytest.raises(GroupBusy, match=r"wave 1 of 2, baking until .* ends at .* at the earliest"):
        cluster.create_group("team-b")
    working = cluster.create_group("team-c", waves="2,100%", bake="2h")
    hand.apply(working, NODE1)
    with pytest.raises(GroupBusy, match=r"wave 1 of 2, working, and ends at .* at the earliest"):
        cluster.create_group("team-c")
    baking.hold("let me look")
    with pytest.raises(GroupBusy, match=r"held by alice@desk: let me look, and ends not before somebody"):
        cluster.create_group("team-b")
    refused = lockstep("create", "team-b")
    assert refused.code == 6
    assert refused.err.count("\n") == 1, "it does not say that it waits"


def test_waves_are_refused_while_a_worker_reports_that_knows_none(
    cluster: ClusterClient, hand: Hand, settings: Settings, lockstep: Run
) -> None:
    report = {"ahead": 0, "at": hand.store.now()}
    clocks = f"{settings.key_prefix}clocks"
    for name in ("operations@old", "beat@x"):
        hand.redis.hset(clocks, name, json.dumps(report))
    hand.redis.hset(clocks, "operations@new", json.dumps({**report, "format": 2}))
    with pytest.raises(NotReady, match="nothing was written, for operations@old cannot work in waves"):
        cluster.create_group("team-a", waves="1,100%")
    refused = lockstep("create", "team-a", "--waves", "1,100%", "--no-wait")
    assert refused.err.count("\n") == 1
    assert cluster.operations() == ()
    limited = ClusterClient(settings.but(max_writes_at_once=4))
    with pytest.raises(NotReady, match="cannot work in waves or under limits of writes"):
        limited.create_group("team-a")
    assert cluster.operations() == ()
    assert not cluster.create_group("team-a").existing, "all hosts at once needs no new worker"
    hand.redis.hdel(clocks, "operations@old")
    assert cluster.create_group("team-b", waves="1,100%").status().rollout is not None


def test_the_inventory_says_how_operations_go_unless_they_are_asked_otherwise(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lockstep: Run
) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(
        "defaults: {waves: '1,100%', bake: 60s, health: /healthz}\nhosts:\n"
        "- {name: node1, url: 'http://node1:1'}\n- {name: node2, url: 'http://node2:1', health: /up}\n"
    )
    monkeypatch.delenv("LOCKSTEP_HOSTS")
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(file))
    with ClusterClient() as cluster:
        usual = cluster.create_group("team-a")
        rollout = usual.status().rollout
        assert rollout is not None
        assert (rollout.waves, rollout.bake) == (2, 60_000)
        assert [(step.host, step.wave, step.health) for step in usual.steps()] == [
            (NODE1, 1, "/healthz"),
            (NODE2, 2, "/up"),
        ]
        other = cluster.create_group("team-b", waves="1,1", bake=5).status().rollout
        assert other is not None
        assert other.bake == 5000
        assert cluster.create_group("team-c", waves="none").status().rollout is None
        alone = cluster.create_group("team-d", ["node1"]).status().rollout
        assert alone is not None
        assert alone.waves == 1
    assert "wave 2" in lockstep("plan", "create", "team-e").out


def test_show_doctor_and_metrics_say_who_waits_for_what_at_which_place(
    cluster: ClusterClient, hand: Hand, settings: Settings, lockstep: Run
) -> None:
    WriteLimits(hand.redis, Keys(settings.key_prefix)).keep({NODE1: WriteLimit(2, 100), "*": WriteLimit(9)})
    first, second, third = (cluster.create_group(f"team-{each}") for each in "abc")
    hand.begin(first, NODE1)
    hand.begin(second, NODE1)
    asked = hand.store.now()
    eventually(lambda: hand.store.now() > asked, "the third asks later than the second")
    hand.begin(third, NODE1)
    hand.begin(first, NODE2)
    shown = lockstep("show", third.id)
    assert "waits for one of 2 writes at node1, number 2 in line; again at" in shown.out
    document = json.loads(lockstep("show", third.id, "--json").out)
    assert document["hosts"][0]["reason"] == "waits for one of 2 writes at node1, number 2 in line"
    limits = [line for line in lockstep("doctor").out.splitlines() if " limit " in line]
    assert [" ".join(line.split()) for line in limits] == [
        "ok limit node1: 1 of 2 writes at once, 100 a second, 2 wait for their turn",
        "ok limit all hosts together: 2 of 9 writes at once, 0 wait for their turn",
    ]
    figures = FiguresReader(settings).read()
    assert figures["writes_in_line"] == {"node1": 2, "*": 0}
    assert figures["write_places_taken"] == {"node1": 1, "*": 2}
