"""Workers that stand still: the kubelet starts each again, and the operations under way end as promised."""

from __future__ import annotations

import re
import signal
from typing import Final

from lockstep.worker.monitoring.heartbeat import EXIT
from lockstep.worker.settings import Settings
from tests.cluster.control_plane import Json, api
from tests.cluster.installation import OPTIONS, STARTED_WITHIN, WORKERS, Installation
from tests.cluster.kubelet import WEDGE
from tests.cluster.load import ENDS_WITHIN, Load
from tests.cluster.pod import Pod
from tests.waits import eventually

NOTICED: Final = 2 * Settings().visibility_timeout
"""Seconds. It may be given new work until its messages are given to others, and only then be quiet."""
METRICS: Final = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9464/metrics').read())"


def restarts_workers_that_stand_still(at: Installation, load: Load) -> None:
    """A worker that is wedged ends itself; of one that is frozen the liveness probe alone can tell."""
    at.plane.kubectl(*OPTIONS, "scale", f"deployment/{WORKERS}", "--replicas=3")
    at.rolled_out(WORKERS)
    wedged, frozen, _ = at.kubelet.of(WORKERS)
    before = starts(wedged), starts(frozen)
    assert wedged.inside("touch", WEDGE).returncode == 0
    eventually(lambda: not wedged.inside("ls", f"{WEDGE}.taken").returncode, "it stands still", latest=0.5)
    held = load.under_way()
    frozen.signal(signal.SIGSTOP)
    eventually(
        lambda: starts(wedged) > before[0] and starts(frozen) > before[1],
        "both run again",
        NOTICED + STARTED_WITHIN,
        0.5,
    )
    assert ended(wedged)["exitCode"] == EXIT, "it ends itself"
    assert ended(frozen)["message"] == "livenessProbe", "it is killed for its probe"
    eventually(lambda: not held & load.under_way(), "what was under way has ended", ENDS_WITHIN)
    assert {load.ended[operation] for operation in held} == {"committed"}
    load.look()

    at.rolled_out(WORKERS)
    log = (at.folder / f"{wedged.name}.log").read_text()
    assert "gathering" in log.partition("this process stands still, and ends")[2], "no stacks in its log"
    named = f"operations@{wedged.name}"
    said = frozen.inside("lockstep", "doctor").stdout
    told = re.search(rf"{named} stood still .*", said)
    assert told, said
    metrics = wedged.inside("python", "-c", METRICS).stdout
    assert f'lockstep_worker_stalled_seconds{{worker="{named}"}}' in metrics, metrics
    print(f"       started again: the wedged one ({EXIT}), and the frozen one, killed for its probe")
    print(f"       {told[0]}")
    print(f"       {len(held)} operations were under way meanwhile, all committed", flush=True)
    at.plane.kubectl(*OPTIONS, "scale", f"deployment/{WORKERS}", "--replicas=2")
    at.rolled_out(WORKERS)


def starts(pod: Pod) -> int:
    """Return how often its container was started again."""
    return int(container(pod)["restartCount"])


def ended(pod: Pod) -> Json:
    """Return how its container last ended."""
    return dict(container(pod)["lastState"]["terminated"])


def container(pod: Pod) -> Json:
    """Return what the API server has been told of the only one of a pod."""
    (only,) = api("GET", pod.path)[1]["status"]["containerStatuses"]
    return dict(only)
