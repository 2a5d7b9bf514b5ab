"""The chart makes the objects that the overlays make, whatever both are asked for."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ship.helm import find_helm
from tests.ship.manifests.test_schemas import KUBERNETES, _check
from tests.ship.rendered import (
    COMPONENT,
    LOCAL,
    MANIFESTS,
    PRODUCTION,
    ROOT,
    Object,
    Rendered,
    load_all,
    overlay_with,
    render,
)
from tests.waits import PATIENCE

CHART = MANIFESTS / "chart"
pytestmark = pytest.mark.skipif(find_helm() is None, reason="there is no helm: `make helm`")

INVENTORY = {"local": LOCAL, "production": PRODUCTION}
BASE = {"image": {"tag": "dev"}, "mockCluster": True}
"""What overlays/local has."""
OWN_TLS = {"toolbox": True, "backup": True, "redis": {"tls": True}}
SAME: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "nothing more": ((), {}),
    "toolbox and backup": (("toolbox", "backup"), {"toolbox": True, "backup": True}),
    "our Redis with TLS": (("toolbox", "backup", "redis-tls"), OWN_TLS),
    "a Redis elsewhere": (("external-redis",), {"redis": {"mode": "external"}}),
    "Sentinels with TLS": (
        ("external-redis", "redis-sentinel", "redis-tls"),
        {"redis": {"mode": "sentinel", "tls": True}},
    ),
    "hpa": (("hpa",), {"autoscaling": {"by": "hpa"}}),
    "keda": (("keda",), {"autoscaling": {"by": "keda"}}),
    "ingress": (("ingress",), {"flower": {"ingress": {"enabled": True}}}),
    "route": (("route",), {"flower": {"route": {"enabled": True}}}),
    "prometheus": (("prometheus",), {"prometheus": {"enabled": True}}),
    "its operator": (("prometheus-operator",), {"prometheus": {"operator": True}}),
    "reloader": (("toolbox", "reloader"), {"toolbox": True, "reloader": True}),
    "stopped": (("keda", "stopped"), {"autoscaling": {"by": "keda"}, "stopped": True}),
}
"""Components, and the values that stand for them."""
GENERATED = re.compile(r'"(lockstep-settings|redis-settings|redis-backup|lockstep-dashboard)-[a-z0-9]{10}"')
LABELS = ("app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "helm.sh/chart")


def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = find_helm()
    assert program is not None
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)


def chart(folder: Path, values: dict[str, Any], base: str = "local") -> Rendered:
    """Render the chart as whoever installs it does."""
    inventory = yaml.safe_load((INVENTORY[base] / "inventory.yaml").read_text("utf-8"))
    given = folder / "values.yaml"
    given.write_text(yaml.safe_dump({"inventory": inventory, **values}), "utf-8")
    done = helm("template", "lockstep", CHART, "--namespace=lockstep", f"--values={given}")
    assert done.returncode == 0, done.stderr
    return Rendered(tuple(Object(body) for body in load_all(done.stdout) if body))


def alike(rendered: Rendered) -> dict[str, Any]:
    """Return the objects by name, without what is Helm's or kustomize's own, or yours to make."""
    bodies: dict[str, Any] = {}
    for each in rendered.objects:
        body = json.loads(GENERATED.sub(r'"\1"', json.dumps(each.body)))
        if each.kind in ("Namespace", "Secret") or "helm.sh/hook" in body["metadata"].get("annotations", {}):
            continue
        if each.name == "lockstep-inventory":
            body["data"] = {name: yaml.safe_load(text) for name, text in body["data"].items()}
        if template := Object(body).template:
            _strip(template["metadata"])
        _strip(body["metadata"])
        for part in (*_templates(body), body):
            _strip(part["metadata"])
        bodies[f"{each.kind}/{body['metadata']['name']}"] = body
    return bodies


def _templates(body: dict[str, Any]) -> list[dict[str, Any]]:
    spec = body.get("spec", {})
    job = spec.get("jobTemplate", {}).get("spec", {}).get("template")
    claims = spec.get("volumeClaimTemplates", [])
    return [part for part in (spec.get("template"), job, *claims) if part]


def _strip(metadata: dict[str, Any]) -> None:
    for label in LABELS:
        metadata.get("labels", {}).pop(label, None)
    for annotation in ("checksum/settings", "helm.sh/resource-policy"):
        metadata.get("annotations", {}).pop(annotation, None)
    for empty in [key for key, value in metadata.items() if value == {}]:
        del metadata[empty]


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {str(each.get("name", n) if isinstance(each, dict) else n): each for n, each in enumerate(items)}


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Return where two differ, lists of named things by their names: their order means nothing."""
    if isinstance(left, list) and isinstance(right, list):
        left, right = _by_name(left), _by_name(right)
    if isinstance(left, dict) and isinstance(right, dict):
        keys = sorted(left.keys() | right.keys())
        return [one for key in keys for one in differences(left.get(key), right.get(key), f"{path}.{key}")]
    return [] if left == right else [f"{path}: {left!r} is not {right!r}"]


@pytest.mark.parametrize("name", SAME)
def test_the_chart_makes_what_the_overlay_makes(name: str, tmp_path: Path) -> None:
    components, values = SAME[name]
    overlay = render(overlay_with(tmp_path, "local", *components)) if components else render(LOCAL)
    made = chart(tmp_path, {**BASE, **values})
    assert differences(alike(made), alike(overlay)) == []


def test_the_chart_makes_production_too(tmp_path: Path) -> None:
    values = {
        "image": {"repository": "registry.example.com/lockstep", "tag": "0.1.0"},
        "redis": {"mode": "external", "to": [{"ipBlock": {"cidr": "10.0.20.0/24"}}]},
        "autoscaling": {"by": "keda", "operations": {"min": 3, "max": 20}},
        "flower": {"ingress": {"enabled": True}},
        "prometheus": {"enabled": True},
    }
    assert differences(alike(chart(tmp_path, values, "production")), alike(render(PRODUCTION))) == []


def test_the_values_that_the_page_shows_are_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    said = page.partition("# values.yaml\n")[2].partition("```")[0]
    chart(tmp_path, yaml.safe_load(said)).component("redis")  # the secrets made above are for it
    more = chart(tmp_path, yaml.safe_load(said.replace("\n# ", "\n")))
    assert more.of("ScaledObject")
    assert more.one("Ingress", "flower").spec["rules"][0]["host"] == "flower.example.com"
    more.one("NetworkPolicy", "lockstep-to-external-redis")


def test_what_a_place_asks_of_pods_is_a_value(tmp_path: Path) -> None:
    values = {
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccount": {"create": True, "name": "ours", "annotations": {"role": "arn"}},
        "priorityClassName": "high",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "podAnnotations": {"linkerd.io/inject": "disabled"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "resources": {"worker-operations": {"requests": {"cpu": "1"}}},
        "secrets": {"redis": "other-redis", "redisTls": "other-tls"},
        "settings": {"LOCKSTEP_SETTLE_SECONDS": 90},
        "redis": {"tls": True, "storageClass": "fast", "config": "maxmemory 2gb", "storage": "16Gi"},
    }
    made = chart(tmp_path, {**BASE, **OWN_TLS, **values})
    for each in made.objects:
        _check(json.dumps(each.body), KUBERNETES[-1])
    for each in made.starting_pods():
        pod, own = each.pod, each.labels[COMPONENT] not in ("redis", "backup")
        assert (pod["priorityClassName"], pod["nodeSelector"]) == ("high", {"disk": "ssd"}), each
        assert (pod["imagePullSecrets"], pod["tolerations"]) == (
            [{"name": "registry"}],
            [{"operator": "Exists"}],
        )
        assert pod.get("serviceAccountName") == ("ours" if own else None), each
        assert ("HTTPS_PROXY" in str(each.containers[0].get("env"))) == own, each
        assert ({"name": "more", "mountPath": "/more"} in each.containers[0]["volumeMounts"]) == own, each
    text = json.dumps([each.body for each in made.objects])
    assert "other-redis" in text
    assert "other-tls" in text
    assert not {'"lockstep-redis"', '"lockstep-redis-tls"'} & set(
        re.findall(r'(?:ecretName|name)": ("[^"]*")', text)
    )
    assert made.component("worker-operations").containers[0]["resources"] == {"requests": {"cpu": "1"}}
    (settings,) = (each for each in made.of("ConfigMap") if each.name == "lockstep-settings")
    assert settings.body["data"]["LOCKSTEP_SETTLE_SECONDS"] == "90"
    claim = made.one("StatefulSet", "redis").spec["volumeClaimTemplates"][0]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast", "16Gi")
    assert made.one("ServiceAccount", "ours").body["metadata"]["annotations"] == {"role": "arn"}


def test_a_redis_elsewhere_is_reached_at_the_ports_that_it_has(tmp_path: Path) -> None:
    made = chart(tmp_path, {**BASE, "redis": {"mode": "external", "ports": [10000, 10001]}})
    (rule,) = made.one("NetworkPolicy", "lockstep-to-external-redis").spec["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 10000}, {"protocol": "TCP", "port": 10001}]


def test_a_changed_setting_rolls_out(tmp_path: Path) -> None:
    def marks(values: dict[str, Any]) -> dict[str, str]:
        made = chart(tmp_path, {**BASE, **values})
        pods = {each.labels[COMPONENT]: each.template for each in made.starting_pods()}
        return {
            name: pod["metadata"]["annotations"]["checksum/settings"] for name, pod in pods.items() if pod
        }

    before, after = marks({}), marks({"settings": {"LOCKSTEP_CONCURRENCY": 16}})
    assert {name for name in before if before[name] == after[name]} == {"redis"}


def test_copies_of_the_record_outlive_the_release(tmp_path: Path) -> None:
    claims = chart(tmp_path, {**BASE, "backup": True}).of("PersistentVolumeClaim")
    policies = {
        each.name: each.body["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
        for each in claims
    }
    assert policies == {"redis-backups": "keep", "flower-data": None}


def test_helm_test_asks_the_doctor(tmp_path: Path) -> None:
    (pod,) = chart(tmp_path, {**BASE}).of("Pod")
    assert pod.body["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod.spec["containers"]
    for said, status, well in (
        ("ok redis", 0, True),
        ("warning redis", 1, True),
        ("ok redis\nfailure beat", 1, False),
        ("", 5, False),
    ):
        (tmp_path / "lockstep").write_text(f"#!/bin/sh\necho '{said}'\nexit {status}\n")
        (tmp_path / "lockstep").chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(container["command"], env=path, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == well, said
        assert said in done.stdout or status > 1, "the log has all of it"
    assert pod.labels[COMPONENT] == "command", "the network policies let it through"
    assert pod.spec["securityContext"]["runAsNonRoot"]
    _check(json.dumps(pod.body), KUBERNETES[-1])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ("autoscaling.by=both", "autoscaling"),
        ("redis.mode=cluster", "redis"),
        ("redis.tsl=true", "tsl"),
        ("settings.SETTLE=1", "SETTLE"),
        ("autoscaling.rollback.min=0", "min"),
        ("backup=true,redis.mode=external", "backup"),
        ("flower.enabled=false,flower.ingress.enabled=true", "flower.enabled"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: str, named: str) -> None:
    done = helm("template", "lockstep", CHART, f"--set={values}")
    assert done.returncode != 0
    assert named in done.stderr


def test_helm_itself_finds_nothing_to_say() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr
