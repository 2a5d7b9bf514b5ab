"""What kubectl makes of the manifests: objects, and the pods that some of them start."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lockstep.worker.celery import OPERATIONS, ROLLBACK
from tests.waits import PATIENCE

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
KUBECTL = Path(sys.executable).with_name("kubectl")

LOCAL = MANIFESTS / "overlays" / "local"
PRODUCTION = MANIFESTS / "overlays" / "production"
EXAMPLE = MANIFESTS / "examples" / "create-group"
VAULT = MANIFESTS / "examples" / "external-secrets"
"""Every kustomization that is applied as it is; `base` and the components are parts of these."""

COMPONENT = "app.kubernetes.io/component"
WORKERS = {"worker-operations": OPERATIONS, "worker-rollback": ROLLBACK}
"""Components, and the queue of each."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object as the cluster would be sent it."""

    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.body["metadata"].get("labels", {}))

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.body["spec"])

    @property
    def template(self) -> dict[str, Any] | None:
        """What the pods that it starts are made from; None if it starts none."""
        if self.kind not in ("Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob"):
            return None
        spec = self.spec["jobTemplate"]["spec"] if self.kind == "CronJob" else self.spec
        return dict(spec["template"])

    @property
    def pod(self) -> dict[str, Any]:
        """The specification of its pods."""
        template = self.template
        assert template is not None, f"{self} starts no pods"
        return dict(template["spec"])

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Everything of one kustomization."""

    objects: tuple[Object, ...]

    def of(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each.kind in kinds]

    def one(self, kind: str, name: str) -> Object:
        (found,) = (each for each in self.of(kind) if each.name == name)
        return found

    def starting_pods(self) -> Iterator[Object]:
        return (each for each in self.objects if each.template is not None)

    def component(self, name: str) -> Object:
        """Return whatever starts the pods of a component."""
        (found,) = (each for each in self.starting_pods() if each.labels[COMPONENT] == name)
        return found

    def settings(self) -> dict[str, str]:
        return self.config("lockstep-settings")

    def config(self, name: str) -> dict[str, str]:
        """Return what is in a ConfigMap whose name ends in a hash."""
        (found,) = (each for each in self.of("ConfigMap") if each.name.startswith(f"{name}-"))
        return dict(found.body["data"])

    def redis_options(self) -> dict[str, str]:
        """Return what Redis is told by its file."""
        lines = [line.split(" ", 1) for line in self.config("redis-settings")["redis.conf"].splitlines()]
        return {name: value for name, *rest in lines if not name.startswith("#") for value in rest}


def load_all(text: str) -> Iterator[Any]:
    """Read many documents; what is written in C does so in a tenth of the time."""
    return yaml.load_all(text, yaml.CSafeLoader)


@functools.cache
def render(kustomization: Path) -> Rendered:
    """Render a kustomization. Raises CalledProcessError, with what kubectl said in its `stderr`."""
    done = subprocess.run(
        [KUBECTL, "kustomize", kustomization], check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return Rendered(tuple(Object(body) for body in load_all(done.stdout)))


def production_with(folder: Path, *autoscalers: str) -> Path:
    """Return a copy of the production overlay with other autoscalers."""
    shutil.copytree(MANIFESTS, folder / "manifests")
    overlay = folder / "manifests" / "overlays" / "production"
    path = overlay / "kustomization.yaml"
    wanted = "".join(f"  - ../../components/{name}\n" for name in autoscalers)
    text, count = re.subn(r"  - \.\./\.\./components/keda\n", wanted, path.read_text("utf-8"))
    assert count == 1
    path.write_text(text, "utf-8")
    return overlay


def overlay(folder: Path, base: str, fields: dict[str, Any], **files: str) -> Path:
    """Return a kustomization over a copy of one of ours, with more fields; with ../manifests beside it."""
    for part in (MANIFESTS, ROOT / "watching"):
        shutil.copytree(part, folder / part.name)
    own = folder / "own"
    own.mkdir()
    for name, text in files.items():
        (own / name).write_text(text, "utf-8")
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    body = {**kind, "resources": [f"../manifests/overlays/{base}"], **fields}
    (own / "kustomization.yaml").write_text(yaml.safe_dump(body), "utf-8")
    return own


def overlay_with(folder: Path, base: str, *components: str) -> Path:
    """Return one of our overlays with more components, as if they stood in it."""
    fields = {
        "components": [f"../manifests/components/{name}" for name in components],
        "namespace": "lockstep",
        "images": [{"name": "lockstep", "newTag": "dev"}],
    }
    return overlay(folder, base, fields)
