"""The journal of things with content: what the scripts do is allowed, and what is planted in it is found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.transitions import Forward
from tests.chaos.journal import commands
from tests.contract.bench import PREFIX, ClockedRedis, RedisBench
from tests.contract.contents import FOREIGN, OLD, REWRITTEN, TARGET, A, B, Thing
from tests.model.trace import replay

STEPS = f"{PREFIX}op:{{}}:steps"
Journal = list[Sequence[str]]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    """One operation is under way, one is committed, in one a person decides, and one has a secret."""
    with (
        ClockedRedis(tmp_path_factory.mktemp("redis")) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as raw,
    ):
        go(RedisBench(raw, server.clock))
        yield list(commands(Path(server.directory)))


def go(bench: RedisBench) -> None:
    committed = Thing(bench, name="committed").accepted(A, B)
    committed.written(A).written(B)
    committed.shown(A, "a2", TARGET)
    committed.shown(B, "b2", REWRITTEN)
    undone = Thing(bench, name="undone").accepted(A, B)
    undone.written(A).written(B, Effect.REPLACED)
    assert undone.restore(A, FOREIGN).next is Forward.PERSON
    assert undone.store.resolve(undone.id, A, "somebody") is None
    assert undone.restore(A, FOREIGN).next is Forward.SEND
    undone.wrote(A, "u1", Effect.APPLIED)
    assert undone.restore(A, OLD, "u2").next is Forward.RESTORED
    undone.restore(B, OLD)
    secret = Thing(bench, name="secret", secret=True).accepted(A).written(A)
    secret.shown(A, "a2", TARGET)
    Thing(bench, name="open", once=True, secret=True).accepted(A, B).written(A, Effect.UNKNOWN)


def test_what_the_scripts_do_is_allowed(journal: Journal) -> None:
    trace = replay(journal)
    assert trace.wrong == []
    assert trace.things == trace.transitions > 20
    assert trace.came_to["rolling_back to rolled_back (ended)"] == 1


A_WRITE = {"undo": False, "state": "open", "opened": 1, "send_by": 2, "quiet": 3, "clean": True, "n": 2}
INVERSE = A_WRITE | {"undo": True}


@pytest.mark.parametrize(
    ("operation", "host", "by_hand", "told"),
    [
        ("open", A, {"was": "other"}, "what was there before is read again"),
        ("open", B, {"attempts": {"b1": A_WRITE | {"n": 1}}}, "a write without a look"),
        ("committed", A, {"attempts": {"late": A_WRITE}}, "a write after the decision, or after the outcome"),
        ("open", A, {"attempts": {"u1": INVERSE}}, "an inverse that no decision"),
        ("open", A, {"attempts": {"a2": A_WRITE}}, "a second write while one is open"),
        ("committed", A, {"outcome": "unchanged"}, "its outcome changes"),
        ("open", A, {"outcome": "unchanged"}, "unchanged, though a write of ours may have landed"),
        ("open", B, {"outcome": "applied"}, "applied, and nothing of ours can have landed"),
        ("open", A, {"outcome": "applied"}, "a secret is taken for set"),
        ("open", A, {"as_seen": "old"}, "what was there before is taken for the target"),
        ("undone", B, {"overwrote": False}, "what was overwritten is named no more"),
        ("open", A, {"foreign": "other"}, "a person is asked too early"),
        ("open", A, {"restore_over": "other"}, "what nobody was shown is to be written over"),
        ("open", A, {"undo": "restored"}, "restored too early"),
    ],
)
def test_a_planted_transition_is_found(
    journal: Journal, operation: str, host: str, by_hand: dict[str, Any], told: str
) -> None:
    key = STEPS.format(operation)
    written = [each for each in journal if each[1:2] == [key] and host in each[2:]][-1]
    step = json.loads(written[written.index(host, 2) + 1])
    attempts = step.get("attempts", {}) | by_hand.get("attempts", {})
    changed = step | by_hand | ({"attempts": attempts} if attempts else {})
    wrong = replay([*journal, ["HSET", key, host, json.dumps(changed)]]).wrong
    assert any(f"{host}: {told}" in each for each in wrong), wrong
