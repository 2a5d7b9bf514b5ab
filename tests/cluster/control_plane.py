"""etcd, the API server, controllers and the scheduler, in one folder, on loopback; and how to ask them."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.ship.rendered import KUBECTL
from tests.waits import eventually

Json: TypeAlias = dict[str, Any]

ETCD, SERVER = "http://127.0.0.1:2379", "https://127.0.0.1:6443"
BINARIES: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
FOLDER_VARIABLE: Final = "KUBE_BIN"
TOKEN: Final = "of-a-cluster-that-nobody-else-can-reach"
TLS: Final = ssl._create_unverified_context()
"""It is reached on loopback of a network of our own; its certificate is made anew each time."""

KUBECONFIG: Final = f"""
apiVersion: v1
kind: Config
clusters: [{{name: it, cluster: {{server: "{SERVER}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {TOKEN}}}}}]
contexts: [{{name: it, context: {{cluster: it, user: admin}}}}]
current-context: it
"""


def find(name: str) -> str | None:
    """Return where a program is: in the folder that KUBE_BIN names, or on PATH."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return shutil.which(name, path=folder) if folder else shutil.which(name)


def api(method: str, path: str, body: Json | None = None, kind: str = "application/json") -> tuple[int, Json]:
    """Ask the API server; return the status and its answer. Raises OSError when it cannot be reached."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=TLS, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


class ControlPlane:
    """The four processes; they end with this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig, self.program = folder / "kubeconfig", KUBECTL
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all four, and return once the API answers and pods can be made."""
        key = self.folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        self.kubeconfig.write_text(KUBECONFIG)
        listen = f"--listen-client-urls={ETCD} --advertise-client-urls={ETCD}"
        self._run("etcd", f"--data-dir={self.folder}/etcd --unsafe-no-fsync {listen}")
        issuer = "--service-account-issuer=https://kubernetes.default.svc"
        signed = f"--service-account-key-file={key} --service-account-signing-key-file={key} {issuer}"
        who = f"--token-auth-file={self.folder}/tokens.csv --authorization-mode=RBAC {signed}"
        where = "--bind-address=127.0.0.1 --advertise-address=10.244.0.1 --endpoint-reconciler-type=none"
        network = f"{where} --service-cluster-ip-range=10.96.0.0/16"
        self._run("kube-apiserver", f"--etcd-servers={ETCD} --cert-dir={self.folder}/api {who} {network}")
        eventually(self._answers, "the API server is ready", 120, latest=0.2)
        alone = f"--leader-elect=false --bind-address=127.0.0.1 --kubeconfig={self.kubeconfig}"
        accounts = f"--service-account-private-key-file={key}"
        self._run("kube-controller-manager", f"{alone} --cert-dir={self.folder}/controllers {accounts}")
        self._run("kube-scheduler", f"{alone} --cert-dir={self.folder}/scheduler")
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        eventually(lambda: api("GET", account)[0] == 200, "controllers are at work", 120, latest=0.2)

    def kubectl(self, *words: str, told: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it says. A warning of the API server is a failure."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *words]
        done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=240, check=False)
        assert "Warning" not in done.stderr, f"{' '.join(words)}: {done.stderr}"
        said = done.stdout + done.stderr
        assert not (check and done.returncode), f"{' '.join(words)} ended with {done.returncode}: {said}"
        return said

    def _run(self, name: str, options: str) -> None:
        program = find(name)
        assert program is not None
        with (self.folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen([program, *options.split()], stdout=log, stderr=log, cwd=self.folder)
        self._children[name] = child

    def _answers(self) -> bool:
        for name, child in self._children.items():
            log = self.folder / f"{name}.log"
            assert child.poll() is None, f"{name} ended: {log.read_text(errors='replace')[-2000:]}"
        try:
            return api("GET", "/api/v1/namespaces/default")[0] == 200
        except OSError:
            return False
