"""What an overlay may add, and programs of others, each on the control plane; small, and without load."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any, Final
from urllib import request

import redis

from lockstep.producer.stack.processes import find_server
from tests.cluster.control_plane import ControlPlane
from tests.cluster.hosts import Hosts, inventory
from tests.cluster.installation import OPTIONS, Installation
from tests.cluster.kubelet import Kubelet
from tests.cluster.pod import GATEWAY, Pod
from tests.integration.redis_servers.certificates import Authority
from tests.ship.rendered import LOCAL, ROOT
from tests.waits import eventually

FEW: Final = 5
SERVERS: Final = (6379, 6380)
"""Ports of a Redis elsewhere and its replica: those that components/external-redis lets through."""
SENTINEL: Final = 26379
NAMED: Final = "lockstep"
NO_SECRET: Final = {
    "target": {"kind": "Secret", "name": "lockstep-redis"},
    "patch": "$patch: delete\nkind: Secret\nmetadata: {name: it}",
}
"""The overlay `local` brings known passwords; here they are made, as for any other overlay."""


class Components(Installation):
    """One after the other in the namespace that exists; each leaves the next one what it has."""

    def __init__(self, folder: Path, plane: ControlPlane, kubelet: Kubelet, hosts: Hosts) -> None:
        super().__init__(folder, plane, kubelet)
        self.hosts, self.made = hosts, 0
        self.inventory.write_text(inventory(FEW))

    def play(self) -> None:
        """Everything, in order."""
        self.starts_quickly()
        self.lets_a_program_of_another_namespace_enqueue()
        self.speaks_tls_to_its_own_redis()
        self.follows_sentinels_to_a_redis_elsewhere()

    def starts_quickly(self) -> None:
        """What the quick start says, with the overlay as it is."""
        self.plane.kubectl("apply", "-k", str(LOCAL))
        self.rolled_out("worker-operations", "worker-rollback", "beat", "flower", "mock-cluster")
        worker, flower = self.kubelet.one("worker-rollback"), self.kubelet.one("flower")
        done = worker.inside("lockstep", "create", "team-a", timeout=320)
        # Its nodes are unstable: one of them may refuse for so long that all are restored.
        assert done.returncode in (0, 1), done.stdout + done.stderr
        asked = request.Request(f"http://{flower.address}:5555/workers?json=1")
        asked.add_header("Authorization", f"Basic {b64encode(b'local:local-only').decode()}")
        with request.urlopen(asked, timeout=30) as page:
            assert json.loads(page.read())
        self.plane.kubectl(*OPTIONS, "scale", "deployment/worker-operations", "--replicas=3")
        self.rolled_out("worker-operations")
        self.plane.kubectl(*OPTIONS, "scale", "deployment/worker-operations", "--replicas=1")
        tell(f"the quick start: {done.stdout.splitlines()[-1]}")

    def lets_a_program_of_another_namespace_enqueue(self) -> None:
        self.installed("redis.lockstep.svc:6379")
        worker, server = self.kubelet.one("worker-rollback"), self.kubelet.one("redis")
        page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
        said = page.partition("## A program that enqueues")[2].partition("```\n")[2].partition("```")[0]
        self.plane.kubectl("create", "namespace", "shop", "--save-config")
        for line in said.splitlines():
            self.typed(line)
        self.plane.kubectl("apply", "-k", str(ROOT / "manifests/examples/client"))
        self.plane.kubectl("-n", "shop", "rollout", "status", "deployment/program", "--timeout=120s")
        program = self.kubelet.one("program")
        log = self.folder / f"{program.name}.log"
        eventually(lambda: "committed" in log.read_text(), "the program sees its group committed", 90)
        assert self.hosts.holding("shop", FEW) == FEW
        assert reaches(program, server, 6379)
        assert not reaches(program, worker, 9464), "metrics are nobody's but Prometheus'"
        self.plane.kubectl("label", "namespace", "shop", "lockstep/client-")
        eventually(lambda: not reaches(program, server, 6379), "a namespace without the label is kept out")
        self.plane.kubectl("delete", "namespace", "shop", "--wait=false")
        tell("a program of another namespace enqueues, while it is let in")

    def speaks_tls_to_its_own_redis(self) -> None:
        if not shutil.which("redis-server"):
            tell("TLS was not tried: there is no redis-server, and the packaged Valkey has none")
            return
        authority = Authority(self.folder / "authority")
        own = authority.sign("redis", "DNS:redis")
        files = {"ca.crt": authority.file, "tls.crt": own.certificate, "tls.key": own.key}
        self.secret("lockstep-redis-tls", *(f"--from-file={name}={file}" for name, file in files.items()))
        self.empty_disk()
        self.installed("redis:6379", "redis-tls", scheme="rediss", flower=True)
        self.creates("over-tls")
        self.plane.kubectl(*OPTIONS, "create", "job", "--from=cronjob/redis-backup", "copy-over-tls")
        self.plane.kubectl(
            *OPTIONS, "wait", "--for=condition=complete", "job/copy-over-tls", "--timeout=120s"
        )
        tell("our Redis speaks TLS to workers, beat, Flower, the toolbox and the nightly copy")

    def follows_sentinels_to_a_redis_elsewhere(self) -> None:
        where = f"{GATEWAY}:{SENTINEL}"
        secrets = self.secrets(where, "sentinel")
        for role in ("worker", "producer", "monitor"):
            (secrets / role).write_text(f"{(secrets / role).read_text()}?master={NAMED}")
        elsewhere = Elsewhere(self.folder / "elsewhere", secrets)
        self.installed(where, "external-redis", "redis-sentinel", secrets=secrets)
        self.plane.kubectl(*OPTIONS, "delete", "statefulset", "redis", "--cascade=foreground")
        self.creates("by-sentinels")
        elsewhere.fail_over()
        self.creates("after-a-failover")
        tell("Sentinels lead every role to a Redis elsewhere, and on after a failover")

    # How each of them is put together

    def installed(
        self,
        address: str,
        *components: str,
        scheme: str = "redis",
        flower: bool = False,
        secrets: Path | None = None,
    ) -> None:
        """Apply with secrets that are made for this; return once all runs."""
        folder = secrets or self.secrets(address, scheme)
        self.secret("lockstep-redis", f"--from-file={folder}")
        idle = ["mock-cluster"] if flower else ["mock-cluster", "flower"]
        none = [{"name": name, "count": 0} for name in idle]
        self.apply(self.overlay(*components, replicas=none, patches=[NO_SECRET]))
        # What is in a Secret pods see when they are started.
        self.plane.kubectl(*OPTIONS, "rollout", "restart", "deployment,statefulset")
        if "external-redis" not in components:
            self.plane.kubectl(*OPTIONS, "rollout", "status", "statefulset/redis", "--timeout=150s")
        self.rolled_out("worker-operations", "worker-rollback", "beat", "toolbox", *["flower"] * flower)

    def empty_disk(self) -> None:
        """The server that has TLS here is another one, and cannot read what Valkey wrote."""
        self.plane.kubectl(*OPTIONS, "delete", "statefulset", "redis", "--cascade=foreground")
        shutil.rmtree(self.folder / "claims/lockstep/data-redis-0/appendonlydir")

    def secrets(self, address: str, scheme: str) -> Path:
        """Make them as the runbook says, but for what Redis 7.0, which has TLS here, does not know."""
        self.made += 1
        folder = self.folder / f"secrets{self.made}"
        make = [str(ROOT / "manifests/secrets.sh"), address, str(folder)]
        subprocess.run(make, check=True, env={**os.environ, "SCHEME": scheme})
        users = folder / "redis-users.acl"
        users.write_text(users.read_text().replace("+client|setinfo ", ""))
        return folder

    def secret(self, name: str, *given: str) -> None:
        made = self.plane.kubectl(
            *OPTIONS, "create", "secret", "generic", name, *given, "--dry-run=client", "-o", "yaml"
        )
        self.plane.kubectl(*OPTIONS, "delete", "secret", name, "--ignore-not-found")
        self.plane.kubectl("create", "-f", "-", told=made)

    def creates(self, group: str) -> None:
        """Type a command as whoever enqueues."""
        toolbox = self.kubelet.one("command")
        done = toolbox.inside("lockstep", "create", group, "--timeout", "120")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.hosts.holding(group, FEW) == FEW
        said = toolbox.inside("lockstep", "doctor").stdout
        assert "failure" not in said, said

    def typed(self, line: str) -> None:
        """Run what a page says, with our kubectl and the secrets of this run."""
        folder = self.folder / f"secrets{self.made}"
        text = re.sub(r"\bsecrets/", f"{folder}/", line)
        text = re.sub(r"\bkubectl\b", f"{self.plane.program} --kubeconfig={self.plane.kubeconfig}", text)
        done = subprocess.run(text, shell=True, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"


class Elsewhere:
    """A Redis outside of the cluster, with a replica, and the Sentinel that watches both."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        folder.mkdir()
        self.password = (secrets / "admin").read_text()
        login = f"masteruser default\nmasterauth {self.password}\naclfile {secrets}/redis-users.acl\n"
        kept = "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\nrepl-diskless-sync-delay 0\n"
        first, _ = SERVERS
        for port in SERVERS:
            own = folder / str(port)
            own.mkdir()
            follows = "" if port == first else f"replicaof {GATEWAY} {first}\n"
            self._start(own, f"bind {GATEWAY}\nport {port}\ndir {own}\n{kept}{login}{follows}")
        self.followed(first)
        watched = f"sentinel monitor {NAMED} {GATEWAY} {first} 1\n"
        watched += f"sentinel auth-user {NAMED} default\nsentinel auth-pass {NAMED} {self.password}\n"
        self._start(folder, f"bind {GATEWAY}\nport {SENTINEL}\ndir {folder}\n{watched}", "--sentinel")
        eventually(lambda: self.seen()["num-slaves"] == "1", "the Sentinel knows both")

    def fail_over(self) -> None:
        with redis.Redis(host=GATEWAY, port=SENTINEL, decode_responses=True) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", NAMED)
        eventually(lambda: self.seen()["port"] == str(SERVERS[1]), "the other one is the primary")
        self.followed(SERVERS[1])

    def followed(self, port: int) -> None:
        eventually(lambda: self.ask(port, "INFO", "replication")["connected_slaves"] == 1, "it is followed")

    def seen(self) -> dict[str, str]:
        with redis.Redis(host=GATEWAY, port=SENTINEL, decode_responses=True) as sentinel:
            return dict(sentinel.execute_command("SENTINEL", "MASTER", NAMED))

    def ask(self, port: int, *words: str) -> dict[str, Any]:
        with redis.Redis(host=GATEWAY, port=port, password=self.password) as server:
            return dict(server.execute_command(*words))

    def _start(self, folder: Path, settings: str, *options: str) -> None:
        file = folder / "redis.conf"
        file.write_text(settings)
        with (folder / "log").open("wb") as log:
            subprocess.Popen([find_server(), file, *options], stdout=log, stderr=log)


def reaches(pod: Pod, other: Pod, port: int) -> bool:
    """Tell whether a connection from within a pod is let through."""
    ask = f"import socket; socket.create_connection(('{other.address}', {port}), 3)"
    return pod.inside("python", "-c", ask).returncode == 0


def tell(what: str) -> None:
    print(f"       {what}", flush=True)
