"""One pod as processes: a sandbox that holds its network, and the command of its container."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.cluster.content import Image, expand, fill, variables
from tests.cluster.control_plane import Json, api
from tests.waits import eventually

SCRIPT: Final = Path(__file__).with_name("container.sh")
BRIDGE: Final = "pods"
GATEWAY: Final = "10.244.0.1"
ADDRESSES = (f"10.244.{high}.{low}" for high, low in itertools.product(range(1, 255), range(1, 255)))
TICK: Final = 0.1


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Pod:
    """Runs the one container of a pod until the pod is deleted; `spawn` starts the thread that does."""

    seen: Json
    image: Image
    folder: Path
    unready: bool = False
    """Reported as not ready, whatever its probe says: for tests of evictions."""
    address: str = field(default_factory=lambda: next(ADDRESSES))
    stopping: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[bytes] | None = None
    _sandbox: subprocess.Popen[bytes] | None = None
    _state: Json = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    _last: Json = field(default_factory=dict)
    _failed: str = ""
    """Which probe its container is killed for."""
    _restarts: int = 0
    _started: bool = False
    _ready: bool = False
    _reported: Json = field(default_factory=dict)
    _environment: dict[str, str] = field(default_factory=dict)
    _guarded: str = ""

    @property
    def name(self) -> str:
        return str(self.seen["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.seen["metadata"]["namespace"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.seen["metadata"].get("labels", {}))

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def container(self) -> Json:
        (only,) = self.seen["spec"]["containers"]
        return dict(only)

    @property
    def over(self) -> bool:
        """Whether it has ended by itself and is not to be started again."""
        return "terminated" in self._state and self.seen["spec"]["restartPolicy"] == "Never"

    def spawn(self) -> None:
        threading.Thread(target=self._live, daemon=True, name=self.name).start()

    def signal(self, number: int) -> None:
        """Send a signal to the first process of the container."""
        with suppress(OSError, ValueError):
            os.kill(self._first(), number)

    def guard(self, rules: str) -> None:
        """Have the pod reach, and be reached by, whom the network policies allow."""
        if self.process is None or self._sandbox is None or rules == self._guarded:
            return  # it has no network of its own yet, or nothing has changed
        enter = f"nsenter --target {self._sandbox.pid} --net iptables-restore"
        subprocess.run(enter.split(), input=rules, text=True, check=True, capture_output=True)
        self._guarded = rules

    def refresh(self) -> None:
        """Have ConfigMaps and Secrets that changed seen in the volumes."""
        for volume in self.seen["spec"].get("volumes", []):
            with suppress(LookupError):
                fill(self.folder, self.namespace, volume)

    def _live(self) -> None:
        self.folder.mkdir(parents=True)
        mounts: list[str] = []
        while not self.stopping.is_set():
            try:
                volumes = {each["name"]: each for each in self.seen["spec"].get("volumes", [])}
                mounts = [
                    f"{fill(self.folder, self.namespace, volumes[mount['name']])} {mount['mountPath']}"
                    for mount in self.container["volumeMounts"]
                ]
                self._environment = {**self.image.environment, **variables(self.namespace, self.container)}
                break
            except LookupError as error:
                self._state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
                self.report()
                self.stopping.wait(0.5)
        else:
            return self._gone()
        self._connect()
        while not self.stopping.is_set():
            self._start(mounts)
            self._watch()
            if self.seen["spec"]["restartPolicy"] == "Never":
                self.report()
                self.stopping.wait()
            elif not self.stopping.is_set():
                self._restarts += 1
                self._last, self._state = self._state, {"waiting": {"reason": "CrashLoopBackOff"}}
                self.report()
                self.stopping.wait(min(2**self._restarts, 20))
        return self._gone()

    def _connect(self) -> None:
        """Give the pod a network: an interface with its address, on the bridge."""
        sandbox = subprocess.Popen(["unshare", "--net", "--uts", "--ipc", "sleep", "infinity"])
        self._sandbox = sandbox
        end = f"v{self.address.replace('.', '')}"[:15]
        own, ours = Path(f"/proc/{sandbox.pid}/ns/net"), Path("/proc/self/ns/net").readlink()
        eventually(lambda: own.readlink() != ours, f"{self.name} has a network of its own")
        inside = f"nsenter --target {sandbox.pid} --net --uts"
        for line in (
            f"ip link add {end} type veth peer name eth0 netns {sandbox.pid}",
            f"ip link set {end} master {BRIDGE} up",
            f"{inside} ip link set lo up",
            f"{inside} ip address add {self.address}/16 dev eth0",
            f"{inside} ip link set eth0 up",
            f"{inside} hostname {self.name}",
        ):
            subprocess.run(line.split(), check=True, capture_output=True)

    def _start(self, mounts: list[str]) -> None:
        assert self._sandbox is not None
        user = {**self.seen["spec"]["securityContext"], **self.container["securityContext"]}["runAsUser"]
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        command = [expand(word, self._environment) for word in self.container["command"]]
        enter = f"nsenter --target {self._sandbox.pid} --net --uts --ipc"
        alone = "unshare --mount --pid --fork --kill-child=KILL"
        with (self.folder.parent.parent / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*enter.split(), *alone.split(), "sh", SCRIPT, root, self.image.works_in, str(user), *mounts,
                 "--",
                 *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip
        self._state = {"running": {"startedAt": stamp()}}
        self._started = "startupProbe" not in self.container
        self._ready = False
        self.report()

    def _watch(self) -> None:
        """Look after the container until it has ended."""
        process, told, self._failed = self.process, 0.0, ""
        assert process is not None
        due = dict.fromkeys(("startupProbe", "readinessProbe", "livenessProbe"), time.monotonic())
        failed = dict.fromkeys(due, 0)
        while process.poll() is None:
            if self.stopping.is_set() and not told:
                self._ready = False
                self.report()
                self.signal(signal.SIGTERM)
                told = time.monotonic()
            grace = self.seen["metadata"].get("deletionGracePeriodSeconds", 30)
            if told and time.monotonic() > told + grace:
                self.signal(signal.SIGKILL)
            if not told:
                self._probe(due, failed)
                self.report()
            with suppress(subprocess.TimeoutExpired):
                process.wait(TICK)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        self._ready = False
        self._state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        self._state["terminated"] |= {"startedAt": stamp(), "finishedAt": stamp(), "message": self._failed}

    def _probe(self, due: dict[str, float], failed: dict[str, int]) -> None:
        for kind in ("livenessProbe", "readinessProbe") if self._started else ("startupProbe",):
            probe = self.container.get(kind)
            if probe is None:
                self._ready = self._ready or kind == "readinessProbe"
                continue
            if time.monotonic() < due[kind]:
                continue
            well = self._ask(probe)
            due[kind] = time.monotonic() + probe.get("periodSeconds", 10)
            failed[kind] = 0 if well else failed[kind] + 1
            given_up = failed[kind] >= probe.get("failureThreshold", 3)
            if kind == "startupProbe":
                self._started = well
            elif kind == "readinessProbe":
                self._ready = well or (self._ready and not given_up)
            if given_up and kind != "readinessProbe":
                self._failed = kind
                self.signal(signal.SIGKILL)

    def _ask(self, probe: Json) -> bool:
        seconds = probe.get("timeoutSeconds", 1) + 4  # the machine may be busy
        ports = {each.get("name"): each["containerPort"] for each in self.container.get("ports", [])}
        try:
            if "exec" in probe:
                return self.inside(*probe["exec"]["command"], timeout=seconds).returncode == 0
            if get := probe.get("httpGet"):
                url = f"http://{self.address}:{ports.get(get['port'], get['port'])}{get['path']}"
                with urllib.request.urlopen(url, timeout=seconds) as answer:
                    return bool(answer.status < 400)
            port = ports.get(probe["tcpSocket"]["port"], probe["tcpSocket"]["port"])
            socket.create_connection((self.address, port), seconds).close()
        except (OSError, subprocess.TimeoutExpired, ValueError):
            return False
        return True

    def inside(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as `kubectl exec` does."""
        enter = f"nsenter --target {self._first()} --all --root --wd"
        user = {**self.seen["spec"]["securityContext"], **self.container["securityContext"]}["runAsUser"]
        as_user = f"setpriv --reuid={user} --regid={user} --clear-groups"
        return subprocess.run(
            [*enter.split(), *as_user.split(), *command], env=self._environment, timeout=timeout,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _first(self) -> int:
        """Return the first process of the container. Raises ValueError before there is one."""
        if self.process is None:
            raise ValueError("it was not started yet")
        own = self.process.pid
        first = int(Path(f"/proc/{own}/task/{own}/children").read_text().partition(" ")[0])
        if Path(f"/proc/{first}/root").readlink() == Path("/"):
            raise ValueError("its root is not made yet")
        return first

    def report(self) -> None:
        """Tell the API server how the pod is, if that has changed."""
        ready = self._ready and not self.unready
        phase = "Pending" if "waiting" in self._state and not self._restarts else "Running"
        if self.over:
            phase = "Failed" if self._state["terminated"]["exitCode"] else "Succeeded"
        conditions = {"Initialized": True, "ContainersReady": ready, "Ready": ready}
        status: Json = {
            "phase": phase,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "hostIP": GATEWAY,
            "conditions": [{"type": kind, "status": str(value)} for kind, value in conditions.items()],
            "containerStatuses": [
                {"name": self.container["name"], "image": self.container["image"], "imageID": "here",
                 "ready": ready, "started": self._started, "restartCount": self._restarts,
                 "state": self._state, "lastState": self._last}
            ],
        }  # fmt: skip
        if status == self._reported:
            return
        patch = {"metadata": {"uid": self.seen["metadata"]["uid"]}, "status": json.loads(json.dumps(status))}
        for condition in patch["status"]["conditions"]:
            condition["lastTransitionTime"] = stamp()
        with suppress(OSError):
            code, _ = api("PATCH", f"{self.path}/status", patch, "application/strategic-merge-patch+json")
            if code == 200:
                self._reported = json.loads(json.dumps(status))

    def _gone(self) -> None:
        """End what is left, and tell the API server that the pod is no more."""
        self.report()
        if self._sandbox is not None:
            self._sandbox.kill()
            self._sandbox.wait()
        exactly: Json = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.seen["metadata"]["uid"]}}
        with suppress(OSError):
            api("DELETE", self.path, {"kind": "DeleteOptions", "apiVersion": "v1", **exactly})
