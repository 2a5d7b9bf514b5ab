"""The alerts, run by Prometheus' own tool: over examples, and over what workers really said."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.worker.celery import OPERATIONS, ROLLBACK, TaskName
from lockstep.worker.connection import client
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, Stage
from lockstep.worker.operation.waves import Rollout
from lockstep.worker.record.keys import Keys
from tests.integration.worker.harness import Bench, parts
from tests.waits import PATIENCE, eventually
from tests.watch.counted import WATCHING, Counted, Labels

RULES = WATCHING / "alerts.yaml"
EVERY = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
Samples = dict[tuple[str, Labels], float]
WAVES = {HostName("node2"): 1, HostName("node1"): 2, HostName("node3"): 2}
MINUTES = 90
"""For which samples are gone on with: longer than the longest time after which an alert fires."""
SECONDS = ("lockstep_held_seconds", "lockstep_bake_overdue_seconds")
"""What grows by itself once it is there."""


def promtool(*arguments: str | Path, folder: Path) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on PATH; Debian has it: apt-get install prometheus")
    done = subprocess.run(
        [found, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_alerts_fire_when_they_are_to_and_not_before() -> None:
    promtool("test", "rules", "alerts.test.yaml", folder=WATCHING)


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Counted]:
    """A worker, an operation that is held, and one past twice its deadline: a host cannot be restored."""
    with parts(tmp_path) as found:
        bench = Bench(*found, tmp_path / "bench", {"deadline": "5"})
        try:
            counted = Counted(bench, "threads")
            bench.start(Action.CREATE, GroupId("held"), rollout=Rollout(WAVES, hold=True))
            bench.end(bench.start(Action.CREATE))
            bench.admin.add_faults({"kind": "refuse", "methods": ["DELETE"], "status": 403}, node="node3")
            bench.admin.set_latency(300, node="node3")
            bench.admin.add_faults({"kind": "refuse", "methods": ["POST"], "status": 403}, node="node1")
            bench.start(Action.DELETE)
            counted.reaches(1, "pending_hosts")  # if nothing ran for 10 s, it is stuck undecided
            counted.reaches(1, "operations_stuck")
            counted.comes_to(0, "failing")
            yield counted
        finally:
            bench.close()


def test_what_workers_say_of_an_operation_that_is_stuck_fires_them(stuck: Counted, tmp_path: Path) -> None:
    before = stuck.read()
    stuck.reaches(swept(before) + 1, "sweeps_total")
    assert fires(tmp_path, before, sweeps=1) == {
        "LockstepStuckOperations",
        "LockstepPendingHosts",
        "LockstepHeldForLong",
    }

    stuck.beat.stop()
    eventually(lambda: not left(stuck, TaskName.SWEEP), "no sweep waits or is at work")
    rollout = Rollout(WAVES, bake=1000 * round(PATIENCE))
    baking = stuck.bench.start(Action.CREATE, GroupId("baking"), rollout=rollout, deadline=60)
    eventually(lambda: bakes(stuck, baking), "its first wave is done")
    eventually(lambda: not left(stuck, baking), "nobody is about to ask whether its bake is over")
    with client(stuck.bench.settings) as redis:
        redis.hset(
            Keys(stuck.bench.settings.key_prefix).operation(baking), "bake_until", stuck.bench.store.now()
        )
    stuck.reaches(0.001, "bake_overdue_seconds")
    silent = stuck.read()
    assert fires(tmp_path, silent, sweeps=swept(stuck.read()) - swept(silent)) == {
        "LockstepStuckOperations",
        "LockstepPendingHosts",
        "LockstepHeldForLong",
        "LockstepBakeOverdue",
        "LockstepSilentSweep",
    }


def bakes(stuck: Counted, operation: OperationId) -> bool:
    """Tell whether a wave is being watched; nothing else may have come of it."""
    found = stuck.bench.read(operation)
    assert found.decision is None, found
    assert found.rollout is not None
    return found.rollout.stage is Stage.BAKING


def left(stuck: Counted, what: str) -> bool:
    """Tell whether a message that says this is still to come; looked for in the order in which it goes on."""
    worker: Any = stuck.bench.app.control.inspect(timeout=1)
    prefix = f"{stuck.bench.settings.key_prefix}celery:"
    held = [worker.active()]  # what it works on may send another
    with client(stuck.bench.settings) as redis:
        kept = [*(each for queue in (OPERATIONS, ROLLBACK) for each in redis.lrange(prefix + queue, 0, -1))]
        kept += redis.hvals(f"{prefix}unacked")
    held += [asked() for asked in (worker.reserved, worker.active)]
    return not all(held) or any(what in str(each) for each in (*kept, *held))


def swept(samples: Samples) -> float:
    return samples["lockstep_sweeps_total", ()]


def fires(folder: Path, samples: Samples, sweeps: float) -> set[str]:
    """Return the alerts that must fire after MINUTES of these samples; promtool saw them and no other.

    Nothing changes meanwhile but the number of sweeps, by so many a minute, and what is told in seconds.
    """
    samples = {key: ceil(value) if key[0] in SECONDS else value for key, value in samples.items()}
    growth = {key: 60.0 if value and key[0] in SECONDS else 0.0 for key, value in samples.items()}
    growth["lockstep_sweeps_total", ()] = sweeps
    last = {key: value + growth[key] * (MINUTES - 1) for key, value in samples.items()}
    [(holds, held)] = [
        (dict(key[1]), value) for key, value in last.items() if key[0] == "lockstep_held_seconds"
    ]
    series = [
        {
            "series": name + "{" + ",".join(f'{label}="{text}"' for label, text in labels) + "}",
            "values": f"{value:g}+{growth[name, labels]:g}x{MINUTES}",
        }
        for (name, labels), value in samples.items()
    ]
    values = {
        "LockstepStuckOperations": samples["lockstep_operations_stuck", ()],
        "LockstepPendingHosts": samples["lockstep_pending_hosts", ()],
        "LockstepDrift": samples["lockstep_drift", ()],
        "LockstepRecordUnreadable": 1 - samples["lockstep_record_up", ()],
        "LockstepSilentSweep": float(sweeps == 0),
        "LockstepHeldForLong": held,
        "LockstepBakeOverdue": last["lockstep_bake_overdue_seconds", ()],
        "LockstepPatrolBehind": 0.0,
        "LockstepNotDone": 0.0,
        "LockstepSweepPutOff": 0.0,
        "LockstepRecordGone": 0.0,
        "LockstepStepRaised": 0.0,
        "LockstepWrongClock": 0.0,
        "LockstepWorkerStalled": 0.0,
    }
    assert samples["lockstep_patrol_lag_seconds", ()] < 600
    assert set(values) == set(EVERY)
    expected = [
        {
            "eval_time": f"{MINUTES - 1}m",
            "alertname": name,
            "exp_alerts": [alert(name, value, holds if name == "LockstepHeldForLong" else {})]
            if value
            else [],
        }
        for name, value in values.items()
    ]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": expected}
    path = folder / "scraped.test.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    promtool("test", "rules", path, folder=folder)
    return {name for name, value in values.items() if value}


def alert(name: str, value: float, labels: dict[str, str]) -> dict[str, Any]:
    """Return an alert as it must be fired; `labels` are those that it has of what it is about."""
    rule = EVERY[name]
    shown = {"{{ $value }}": f"{value:g}", "{{ $value | humanizeDuration }}": spoken(round(value))}
    shown |= {f"{{{{ $labels.{label} }}}}": text for label, text in labels.items()}
    texts = dict(rule["annotations"])
    for key, (written, meant) in itertools.product(texts, shown.items()):
        texts[key] = texts[key].replace(written, meant)
    return {"exp_labels": rule["labels"] | labels, "exp_annotations": texts}


def spoken(seconds: int) -> str:
    """Return a duration of an hour or more as Prometheus writes it."""
    return f"{seconds // 3600}h {seconds // 60 % 60}m {seconds % 60}s"
