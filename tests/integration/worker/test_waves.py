"""Operations in waves whose workers are killed at each new point; the nodes' own histories are the judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lockstep.producer.client.client import ClusterClient
from lockstep.producer.stack.processes import RedisServer
from lockstep.worker.celery.messages import publish_next
from lockstep.worker.operation.model import Action, GroupId, OperationId, RolloutState, Stage, State
from lockstep.worker.operation.transitions import Refusal
from lockstep.worker.operation.waves import Rollout
from tests.integration.worker.harness import Bench, parts
from tests.integration.worker.kills import WAVES, kill_at, waves_end
from tests.waits import eventually
from tests.wrong_clock import WrongClock, library, sweep_up

PLAIN, GATED = Rollout(WAVES), Rollout(WAVES, bake=200, gate=True)


def standing(bench: Bench, operation: OperationId) -> RolloutState:
    found = bench.read(operation).rollout
    assert found is not None
    return found


def at_once(*calls: Callable[[], object]) -> Sequence[object]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize(
    ("point", "rollout"),
    [
        ("before claim", PLAIN),
        ("after claim", PLAIN),
        ("after claim", GATED),
        ("before gate_seen", GATED),
        ("after gate_seen", GATED),
    ],
    ids=["wave opened", "wave claimed", "round claimed", "looked", "passed"],
)
def test_no_wave_is_lost_or_early_though_its_worker_is_killed(
    bench: Bench, point: str, rollout: Rollout
) -> None:
    bench.beat()
    operation = bench.start(Action.CREATE, rollout=rollout)
    kill_at(bench, point)
    waves_end(bench, operation, State.COMMITTED)


def test_whoever_dies_while_it_bakes_or_is_held_it_ends_as_people_say(bench: Bench) -> None:
    bench.beat()
    first = bench.worker("first")
    bench.admin.add_faults({"kind": "error_before", "methods": ["POST"], "times": 2}, node="node2")
    held = bench.start(Action.CREATE, rollout=Rollout(WAVES, hold=True))
    eventually(lambda: standing(bench, held).stage is Stage.WAITING, "it is held")
    first.kill()
    bench.redis.kill()
    bench.redis.start()
    second = bench.worker("second")
    hold = standing(bench, held).hold
    assert hold is not None

    def promote() -> Refusal | None:
        return bench.store.promote(held, hold.number)

    assert set(at_once(promote, promote)) == {None, Refusal.ALREADY}
    # Who promoted it dies before publishing: the sweep publishes the wave.
    waves_end(bench, held, State.COMMITTED)
    failed = [line for line in second.output().splitlines() if "create: 500" in line]
    assert len(failed) == 2
    assert all("wave=wave 2" in line for line in failed), "the wave goes with a task that is retried"

    bench.clear()
    baking = bench.start(Action.CREATE, rollout=Rollout(WAVES, bake=1_500, gate=True))
    eventually(lambda: standing(bench, baking).stage is Stage.BAKING, "it bakes")
    second.kill()
    bench.worker("third")
    waves_end(bench, baking, State.COMMITTED)

    bench.clear()
    both = bench.start(Action.CREATE, rollout=Rollout(WAVES, hold=True))
    eventually(lambda: standing(bench, both).stage is Stage.WAITING, "it is held")
    promoted, cancelled = at_once(
        lambda: bench.store.promote(both, 1), lambda: bench.store.cancel(both, "somebody")
    )
    assert promoted in (None, Refusal.ROLLING_BACK)
    assert cancelled is None
    publish_next(bench.app, bench.store, both)
    waves_end(bench, both, State.ROLLED_BACK)
    assert bench.holding() == set()


@pytest.mark.skipif(library() is None, reason="libfaketime is not installed")
def test_redis_and_all_workers_are_gone_for_an_hour_of_a_hold(tmp_path: Path) -> None:
    """Redis' clock alone tells how long: by it the machine was down for an hour, and later for a week."""
    with parts(tmp_path / "parts") as (redis, cluster, guard):
        bench = Bench(redis, cluster, guard, tmp_path / "bench")
        try:
            worker, beat = bench.worker(), bench.beat()
            groups = [GroupId("promoted"), GroupId("forgotten")]
            rollout = Rollout(WAVES, hold=True)
            promoted, forgotten = (bench.start(Action.CREATE, group, rollout=rollout) for group in groups)
            both = (promoted, forgotten)
            eventually(lambda: all(standing(bench, each).stage is Stage.WAITING for each in both), "held")
            holds = [standing(bench, each).hold for each in both]
            for child in (worker, beat, redis):
                child.kill()
            clock = WrongClock(tmp_path / "clock")
            later = RedisServer(redis.directory, redis.port, guard=guard, env={**bench.env, **clock.env})

            clock.set(3600)
            later.start()
            bench.worker("another")
            bench.beat()
            assert [standing(bench, each).hold for each in both] == holds
            with ClusterClient(bench.settings) as client:
                said = {operation.id: found.why for operation, found in client.stuck()}
            assert said.keys() == {promoted, forgotten}
            assert all(why.startswith("held 1 h") for why in said.values())
            assert [bench.effects(node, group) for group in groups for node in bench.cluster.nodes] == [
                ["POST"], [], [],
            ] * 2  # fmt: skip
            assert bench.store.promote(promoted, 1) is None
            assert bench.end(promoted).operation.state is State.COMMITTED
            assert bench.holding(groups[0]) == set(bench.cluster.nodes)

            later.kill()
            clock.set(7 * 86400 + 60)
            later.start()
            end = bench.end(forgotten)
            assert end.operation.state is State.ROLLED_BACK
            assert "held" in (end.operation.reason or "")
            assert bench.effects("node1", groups[1]) == ["POST", "DELETE"]
            assert bench.history("node2", groups[1]) == bench.history("node3", groups[1]) == []
        finally:
            bench.close()
            later.kill()
            sweep_up()
