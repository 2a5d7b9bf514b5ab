"""Three machines on this one: runs the pods that the scheduler placed, with names and disks for them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from lockstep.producer.stack.processes import find_server
from tests import wedge
from tests.cluster.content import Image
from tests.cluster.control_plane import Json, api
from tests.cluster.pod import BRIDGE, GATEWAY, Pod, stamp
from tests.cluster.policies import Policies
from tests.ship.rendered import ROOT
from tests.waits import eventually

MACHINES: Final = ("machine1", "machine2", "machine3")
SECONDS: Final = 0.4
"""Between two looks at the API server."""
HEARTBEAT: Final = 8.0
PLACES: Final = "bin sbin lib lib64 usr"
WEDGE: Final = "/tmp/wedge"
"""A worker in whose container this file is made stands still."""
HOSTS_BYTES: Final = 8192
"""The file of names keeps its length, so that no reader meets half of it."""


class Kubelet:
    """Runs the pods of all machines; a thread for each, and one that looks at the API server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods: dict[str, Pod] = {}
        self._names = folder / "names"
        self._versions: dict[str, str] = {}
        self._beaten = 0.0
        self._stopped = threading.Event()
        self._images = self._make_images()

    def start(self) -> None:
        """Make the network and the machines, and begin. What `/etc/hosts` says here is what pods see."""
        for line in (
            f"ip link add {BRIDGE} type bridge",
            f"ip address add {GATEWAY}/16 dev {BRIDGE}",
            f"ip link set {BRIDGE} up",
        ):
            subprocess.run(line.split(), check=True)
        self._names.write_text("127.0.0.1 localhost\n".ljust(HOSTS_BYTES, "\n"))
        subprocess.run(["mount", "--bind", self._names, "/etc/hosts"], check=True)
        for name in MACHINES:
            labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-of-{name}"}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
            status, said = api("POST", "/api/v1/nodes", node)
            assert status == 201, said
        threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> None:
        """Look no more; what runs goes with the namespaces."""
        self._stopped.set()

    def of(self, component: str) -> list[Pod]:
        """Return the pods of a component that have not ended and are not about to."""
        label = "app.kubernetes.io/component"
        return [
            pod
            for pod in list(self.pods.values())
            if pod.labels.get(label) == component and not pod.over and not pod.stopping.is_set()
        ]

    def one(self, component: str) -> Pod:
        """Return the only pod of a component; the one before it may be there until its end is heard of."""

        def only() -> Pod | None:
            pods = self.of(component)
            return pods[0] if len(pods) == 1 else None

        return eventually(only, f"there is one pod of {component}")

    def _look(self) -> None:
        while not self._stopped.wait(SECONDS):
            try:
                self._beat()
                self._take()
                self._name()
                self._guard()
                self._provide()
                self._renew()
            except (OSError, KeyError, subprocess.CalledProcessError) as error:
                # The API server is slow, or something is half made.
                print(f"kubelet: {error!r}", file=sys.stderr, flush=True)

    def _beat(self) -> None:
        if time.monotonic() < self._beaten + HEARTBEAT:
            return
        room = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": stamp()}
        status: Json = {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}}
        for name in MACHINES:
            api("PATCH", f"/api/v1/nodes/{name}/status", status, "application/strategic-merge-patch+json")
        self._beaten = time.monotonic()

    def _take(self) -> None:
        _, listed = api("GET", "/api/v1/pods")
        seen = {each["metadata"]["uid"]: each for each in listed["items"]}
        for uid, each in seen.items():
            if uid in self.pods:
                self.pods[uid].seen = each
            elif each["spec"].get("nodeName") in MACHINES and not each["metadata"].get("deletionTimestamp"):
                self.pods[uid] = Pod(each, self._image(each["spec"]), self.folder / "pods" / uid)
                self.pods[uid].spawn()
            elif each["metadata"].get("deletionTimestamp") and not each["spec"].get("nodeName"):
                api(
                    "DELETE",
                    f"/api/v1/namespaces/{each['metadata']['namespace']}/pods/{each['metadata']['name']}",
                )
        for uid, pod in list(self.pods.items()):
            if uid not in seen:
                pod.stopping.set()
                pod.signal(signal.SIGKILL)
                del self.pods[uid]
            elif pod.seen["metadata"].get("deletionTimestamp"):
                pod.stopping.set()

    def _image(self, spec: Json) -> Image:
        (container,) = spec["containers"]
        if "valkey" not in container["image"]:
            return self._images["own"]
        return self._images["tls" if "--tls-port" in container["command"] else "redis"]

    def _name(self) -> None:
        """Write down which addresses the names of Services have."""
        lines = ["127.0.0.1 localhost"]
        _, listed = api("GET", "/apis/discovery.k8s.io/v1/endpointslices")
        for each in listed["items"]:
            namespace = each["metadata"]["namespace"]
            service = each["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            full = f"{service}.{namespace}.svc"
            for end in each.get("endpoints") or []:
                if end["conditions"].get("ready"):
                    lines.append(f"{end['addresses'][0]} {service} {full} {full}.cluster.local")
        with self._names.open("r+b") as file:
            os.pwrite(file.fileno(), "\n".join(lines).ljust(HOSTS_BYTES, "\n").encode(), 0)

    def _guard(self) -> None:
        """Enforce the network policies as they are by now."""
        _, policies = api("GET", "/apis/networking.k8s.io/v1/networkpolicies")
        _, namespaces = api("GET", "/api/v1/namespaces")
        known = Policies(policies["items"], namespaces["items"], list(self.pods.values()))
        for pod in list(self.pods.values()):
            if not pod.stopping.is_set():
                pod.guard(known.of(pod))

    def _provide(self) -> None:
        """Make a disk for every claim that has none; the controllers bind the two."""
        _, listed = api("GET", "/api/v1/persistentvolumeclaims")
        for each in listed["items"]:
            if not each["spec"].get("volumeName") and each["status"].get("phase") != "Bound":
                about = each["metadata"]
                claim = {"namespace": about["namespace"], "name": about["name"], "uid": about["uid"]}
                spec = {
                    "capacity": {"storage": each["spec"]["resources"]["requests"]["storage"]},
                    "accessModes": each["spec"]["accessModes"],
                    "hostPath": {"path": f"{self.folder}/claims/{about['namespace']}/{about['name']}"},
                    "claimRef": claim,
                    "storageClassName": each["spec"].get("storageClassName", ""),
                    "persistentVolumeReclaimPolicy": "Retain",
                }
                disk = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": about["uid"]}}
                api("POST", "/api/v1/persistentvolumes", {**disk, "spec": spec})

    def _renew(self) -> None:
        """Have pods see ConfigMaps and Secrets that changed."""
        versions = {}
        for kind in ("configmaps", "secrets"):
            _, listed = api("GET", f"/api/v1/namespaces/lockstep/{kind}")
            for each in listed["items"]:
                versions[f"{kind}/{each['metadata']['name']}"] = each["metadata"]["resourceVersion"]
        if versions != self._versions:
            self._versions = versions
            for pod in list(self.pods.values()):
                if pod.process is not None:
                    pod.refresh()

    def _make_images(self) -> dict[str, Image]:
        """Return what stands in for our image and for Valkey's: programs of this machine and checkout."""
        programs = self.folder / "programs"
        programs.mkdir()
        client = shutil.which("valkey-cli") or shutil.which("redis-cli")
        assert client is not None
        shutil.copy(find_server(), programs / "valkey-server")
        shutil.copy(client, programs / "valkey-cli")
        compiled = ROOT / ".venv" / ".cache" / "pycache"
        warm = [sys.executable, "-c", "import lockstep.worker.tasks, celery.bin.celery, celery.worker.worker"]
        subprocess.run(warm, check=True, env={"PATH": "/usr/bin:/bin", "PYTHONPYCACHEPREFIX": str(compiled)})
        own = Path(sys.prefix)
        seen = {str(ROOT), str(own), sys.base_prefix, str(programs)}
        path = f"{programs}:{own}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        common = {"PATH": path, "HOME": "/tmp", "PARTS": PLACES, "SEEN": " ".join(sorted(seen, key=len))}
        python = {
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPYCACHEPREFIX": str(compiled),
            **wedge.environment(WEDGE),
            "LOCKSTEP_METRICS_ADDRESS": "::",
            "LOCKSTEP_SLICE_THREADS": "64",  # else one could take all hosts at once, and more were no faster
        }
        tls = self.folder / "tls-programs"
        shutil.copytree(programs, tls)
        if speaks_tls := shutil.which("redis-server"):
            shutil.copy(speaks_tls, tls / "valkey-server")
        return {
            "own": Image({**common, **python}, str(ROOT)),
            "redis": Image(common, "/data"),
            "tls": Image({**common, "PATH": f"{tls}:{path}", "SEEN": f"{common['SEEN']} {tls}"}, "/data"),
        }


def lacking() -> str | None:
    """Return what of the machine is missing for this; None when nothing is."""
    if os.geteuid() != 0:
        return "it makes namespaces, which needs root"
    for program in ("ip", "iptables-restore", "unshare", "nsenter", "setpriv", "openssl"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if not (shutil.which("valkey-cli") or shutil.which("redis-cli")):
        return "there is no valkey-cli, and no redis-cli"
    with suppress(OSError, subprocess.CalledProcessError):
        subprocess.run(
            ["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=True, capture_output=True
        )
        return None
    return "namespaces cannot be made here"
