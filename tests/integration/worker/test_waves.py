"""Operations in waves whose workers are killed at each new point; the nodes' own histories are the judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from lockstep.worker.messages import publish_next
from lockstep.worker.operation.model import Action, OperationId, Stage, Standing, State
from lockstep.worker.operation.transitions import Cancelled, Refused
from lockstep.worker.operation.waves import Rollout
from tests.integration.worker.harness import Bench
from tests.integration.worker.killing import WAVES, kill_at, waves_end
from tests.waiting import eventually

PLAIN, GATED = Rollout(WAVES), Rollout(WAVES, bake=200, gate=True)


def standing(bench: Bench, operation: OperationId) -> Standing:
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

    def promote() -> Refused | None:
        return bench.store.promote(held, hold.number)

    assert set(at_once(promote, promote)) == {None, Refused.ALREADY}
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
    assert promoted in (None, Refused.ROLLING_BACK)
    assert cancelled is Cancelled.CANCELLED
    publish_next(bench.app, bench.store, both)
    waves_end(bench, both, State.ROLLED_BACK)
    assert bench.holding() == set()
