"""`python -m tests.cluster`: play day two through on a real control plane; `--write` keeps the figures."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.components import Components
from tests.cluster.control_plane import BINARIES, FOLDER_VARIABLE, ControlPlane, find
from tests.cluster.kubelet import Kubelet, lacking
from tests.cluster.scenario import Scenario
from tests.ship.rendered import ROOT

PICTURE = ROOT / "docs" / "kubernetes.svg"
PAGE = ROOT / "docs" / "kubernetes.md"
FIRST, LAST = "<!-- written by make cluster WRITE=1 -->\n", "<!-- until here -->"
INSIDE = "CLUSTER_FOLDER"
PARTS = ["load", "components"]
NAMESPACES = "unshare --mount --net --pid --fork --kill-child=KILL --mount-proc"
REAPER = ("sh", "-c", '"$0" "$@"; exit $?')
"""The first process: it buries what a probe that took too long leaves behind, or that pod would never end."""


def main() -> int:
    """Run inside namespaces that end with it; 0 if all is well, or if it cannot be run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PICTURE.name} and what was measured")
    parser.add_argument("--only", choices=PARTS, help="play this part alone")
    given = parser.parse_args()
    if folder := os.environ.get(INSIDE):
        return play(Path(folder), given.write, [given.only] if given.only else PARTS)
    missing = [name for name in BINARIES if find(name) is None]
    why = f"there is no {', '.join(missing)} on PATH or in {FOLDER_VARIABLE}" if missing else lacking()
    if why:
        print(f"cluster: skipped, for {why}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("cluster: told to stop"))
    with tempfile.TemporaryDirectory(prefix="lockstep-cluster-") as made:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
        environment |= {INSIDE: made, FOLDER_VARIABLE: str(Path(find("etcd") or "").parent)}
        again = [sys.executable, "-B", "-m", "tests.cluster", *sys.argv[1:]]
        return subprocess.run([*NAMESPACES.split(), *REAPER, *again], env=environment, check=False).returncode


def play(folder: Path, write: bool, parts: list[str]) -> int:
    """Play the parts; keep the logs for whoever looks why it failed."""
    began = time.monotonic()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    plane, kubelet = ControlPlane(folder), Kubelet(folder)
    scenario: Scenario | None = None
    try:
        plane.start()
        kubelet.start()
        print(f"cluster: the control plane took {time.monotonic() - began:.0f} s", flush=True)
        scenario = Scenario(folder, plane, kubelet)
        if "load" in parts:
            scenario.play()
            if write:
                keep(scenario)
        if "components" in parts:
            Components(folder, plane, kubelet, scenario.hosts).play()
    except BaseException:
        print(plane.kubectl("get", "pods", "--all-namespaces", "--output=wide", check=False))
        kept = Path(tempfile.gettempdir()) / "lockstep-cluster-logs"
        kept.mkdir(exist_ok=True)
        for log in folder.glob("*.log"):
            (kept / log.name).write_bytes(log.read_bytes())
        print(f"cluster: failed after {time.monotonic() - began:.0f} s; logs are in {kept}", flush=True)
        raise
    finally:
        kubelet.stop()
    print(f"1 passed, 0 failed: the scenario took {time.monotonic() - began:.0f} s")
    return 0


def keep(scenario: Scenario) -> None:
    """Put the picture and what was measured where people read it."""
    PICTURE.write_text(scenario.timeline.draw(), "utf-8")
    before, _, rest = PAGE.read_text("utf-8").partition(FIRST)
    PAGE.write_text(f"{before}{FIRST}{scenario.measured_in_words()}{LAST}{rest.partition(LAST)[2]}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
