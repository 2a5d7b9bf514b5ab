"""One installation on the control plane: apply overlays to it, and ask how it stands."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.cluster.control_plane import ControlPlane, api
from tests.cluster.kubelet import Kubelet
from tests.cluster.pod import Pod
from tests.ship.rendered import overlay
from tests.waits import eventually

WORKERS: Final = "worker-operations"
OPTIONS: Final = ("-n", "lockstep")
STARTED_WITHIN: Final = 150


class Installation:
    """The overlay `local` with an inventory of its own, and what is made of it."""

    def __init__(self, folder: Path, plane: ControlPlane, kubelet: Kubelet) -> None:
        self.folder, self.plane, self.kubelet = folder, plane, kubelet
        self.inventory = folder / "inventory.yaml"

    def overlay(self, *components: str, **fields: Any) -> Path:
        """Return our overlay for this run, with more in it."""
        folder = Path(tempfile.mkdtemp(prefix="overlay-", dir=self.folder))
        given = {
            "name": "lockstep-inventory",
            "behavior": "replace",
            "files": ["inventory.yaml"],
            "options": {"disableNameSuffixHash": True},
        }
        body = {
            "components": [f"../manifests/components/{name}" for name in ("toolbox", "backup", *components)],
            "namespace": "lockstep",
            "images": [{"name": "lockstep", "newTag": "dev"}],
            "configMapGenerator": [given],
            **fields,
        }
        made = overlay(folder, "local", body)
        shutil.copy(self.inventory, made)
        return made

    def apply(self, made: Path, *options: str) -> dict[str, str]:
        """Apply; return what was said of each object."""
        said = self.plane.kubectl("apply", "-k", str(made), *options)
        return dict(line.rsplit(" ", 1) for line in said.splitlines() if "/" in line)

    def small(self, *components: str, **fields: Any) -> Path:
        """Return the overlay without what the load does not need: its processors are ours."""
        idle = [{"name": name, "count": 0} for name in ("flower", "mock-cluster", "toolbox")]
        return self.overlay(*components, replicas=idle, **fields)

    def versions(self) -> dict[str, str]:
        """Return what each object that was applied says by now."""
        kinds = (
            "deployment,statefulset,service,networkpolicy,poddisruptionbudget,cronjob,configmap,secret,pvc"
        )
        listed = json.loads(self.plane.kubectl(*OPTIONS, "get", kinds, "-o", "json"))
        return {
            f"{each['kind']}/{each['metadata']['name']}": json.dumps(each.get("spec", each.get("data")))
            for each in listed["items"]
            if each["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "lockstep"
        }

    def evict(self, pod: Pod) -> int:
        about = {"name": pod.name, "namespace": pod.namespace}
        status, _ = api(
            "POST", f"{pod.path}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": about}
        )
        return status

    def budget_has(self, name: str, **numbers: int) -> None:
        path = f"/apis/policy/v1/namespaces/lockstep/poddisruptionbudgets/{name}"

        def has() -> bool:
            return bool(numbers.items() <= api("GET", path)[1].get("status", {}).items())

        eventually(has, f"the budget of {name} has {numbers}", 60, latest=0.2)

    def names(self) -> list[str]:
        return sorted(pod.name for pod in self.kubelet.of(WORKERS))

    def replicas(self, name: str) -> int:
        _, found = api("GET", f"/apis/apps/v1/namespaces/lockstep/deployments/{name}")
        return int(found["spec"]["replicas"])

    def rolled_out(self, *names: str) -> None:
        for name in names:
            self.plane.kubectl(
                *OPTIONS, "rollout", "status", f"deployment/{name}", f"--timeout={STARTED_WITHIN}s"
            )
