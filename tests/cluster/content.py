"""What a pod is given: files and variables out of ConfigMaps, Secrets and claims."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.control_plane import Json, api


@dataclass(slots=True)
class Image:
    """What stands in for an image."""

    environment: dict[str, str]
    works_in: str


def held(namespace: str, kind: str, name: str) -> dict[str, bytes]:
    """Return what a ConfigMap or a Secret holds. Raises LookupError when there is none."""
    status, found = api("GET", f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
    if status != 200:
        raise LookupError(f"{kind} {name}: {found.get('message')}")
    data: dict[str, str] = found.get("data") or {}
    return {key: base64.b64decode(v) if kind == "secret" else v.encode() for key, v in data.items()}


def fill(folder: Path, namespace: str, volume: Json) -> Path:
    """Make a volume of a pod, or bring it up to date; return where it is. Raises LookupError."""
    if claim := volume.get("persistentVolumeClaim"):
        path = folder.parent.parent / "claims" / namespace / str(claim["claimName"])
    else:
        path = folder / str(volume["name"])
    fresh = not path.is_dir()
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o1777)
    for kind, named in (("configmap", "configMap"), ("secret", "secret")):
        if source := volume.get(named):
            try:
                _write(path, namespace, kind, source)
            except LookupError:
                if not source.get("optional"):
                    if fresh:
                        path.rmdir()
                    raise
    return path


def _write(path: Path, namespace: str, kind: str, source: Json) -> None:
    """Write each file that is not as it should be, as a whole."""
    data = held(namespace, kind, source.get("name") or source["secretName"])
    for item in source.get("items") or [{"key": key, "path": key} for key in data]:
        file, new = path / item["path"], path / f".{item['path']}"
        if not file.exists() or file.read_bytes() != data[item["key"]]:
            new.write_bytes(data[item["key"]])
            new.chmod(source.get("defaultMode", 0o644) | 0o444)
            new.replace(file)


def variables(namespace: str, container: Json) -> dict[str, str]:
    """Return the environment that a container is given. Raises LookupError."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        values = held(namespace, "configmap", source["configMapRef"]["name"])
        found |= {key: value.decode() for key, value in values.items()}
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            ref = variable["valueFrom"]["secretKeyRef"]
            found[variable["name"]] = held(namespace, "secret", ref["name"])[ref["key"]].decode()
        else:
            found[variable["name"]] = expand(variable.get("value", ""), found)
    return found


def expand(text: str, known: dict[str, str]) -> str:
    """Put variables in place of $(NAME), as Kubernetes does."""
    for name, value in known.items():
        text = text.replace(f"$({name})", value)
    return text
