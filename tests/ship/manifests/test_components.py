"""What an overlay may add: each renders beside the others, and does what its first line says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.ship.rendered import COMPONENT, ROOT, Object, Rendered, overlay, overlay_with, render

CLIENTS = {"worker-operations", "worker-rollback", "beat", "flower", "command"}
CA = "/etc/lockstep-redis-tls/ca.crt"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(overlay_with(tmp_path_factory.mktemp("tls"), "local", "toolbox", "backup", "redis-tls"))


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("sentinels")
    return render(overlay_with(folder, "local", "external-redis", "redis-sentinel", "redis-tls"))


def mounted(pod: Object) -> dict[str, list[str]]:
    """Return where the first container finds the files of each secret."""
    volumes = {each["name"]: each for each in pod.pod["volumes"]}
    found = {}
    for mount in pod.containers[0]["volumeMounts"]:
        secret = volumes[mount["name"]].get("secret", {})
        items = [f"{mount['mountPath']}/{item['path']}" for item in secret.get("items", [])]
        found[secret.get("secretName", "")] = items
    return found


def test_whoever_speaks_to_redis_has_its_authority(encrypted: Rendered, sentinels: Rendered) -> None:
    for rendered in (encrypted, sentinels):
        assert rendered.settings()["LOCKSTEP_REDIS_CA_FILE"] == CA
        speaking = [each for each in rendered.starting_pods() if each.labels[COMPONENT] in CLIENTS]
        assert len(speaking) >= 4
        for each in speaking:
            assert mounted(each)["lockstep-redis-tls"] == [CA], each


def test_the_redis_of_base_speaks_tls_alone_and_is_asked_so(encrypted: Rendered) -> None:
    redis = encrypted.component("redis")
    command = redis.containers[0]["command"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert (options["--port"], options["--tls-port"]) == ("0", "6379")
    assert options["--tls-cert-file"].startswith("/etc/lockstep-redis-tls/")
    asking = [redis.containers[0], encrypted.component("backup").containers[0]]
    for container in asking:
        (given,) = (each["value"] for each in container["env"] if each["name"] == "CLI_OPTIONS")
        assert given == f"--tls --cacert {CA}"


def test_a_redis_elsewhere_leaves_none_here_and_is_let_through(sentinels: Rendered) -> None:
    assert not [each for each in sentinels.objects if each.labels.get(COMPONENT) == "redis"]
    ports = {
        policy.name: policy.spec["egress"][0]["ports"][0]
        for policy in sentinels.of("NetworkPolicy")
        if policy.name in ("lockstep-to-external-redis", "lockstep-to-sentinels")
        and set(policy.spec["podSelector"]["matchExpressions"][0]["values"]) == CLIENTS
    }
    external = ports["lockstep-to-external-redis"]
    assert external["port"] <= 6379 <= external["endPort"]
    assert ports["lockstep-to-sentinels"]["port"] == 26379


def test_an_overlay_elsewhere_that_names_ours_by_address_renders_all_of_it_in_the_namespace(
    tmp_path: Path,
) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    said = page.partition("by address and version")[2].partition("```yaml\n")[2].partition("```")[0]
    fields = yaml.safe_load(re.sub(r"https://[^/]+/OWNER/lockstep//(\S+)\?ref=v\S+", r"../\1", said))
    rendered = render(overlay(tmp_path, "local", fields, **{"inventory.yaml": "hosts: []\n"}))
    rendered.one("ConfigMap", "lockstep-inventory")
    assert rendered.of("ScaledObject")
    for each in rendered.objects:
        assert each.kind == "Namespace" or each.body["metadata"]["namespace"] == "lockstep", each
        assert each.labels["app.kubernetes.io/part-of"] == "lockstep", each
    assert rendered.component("beat").containers[0]["image"].startswith("registry.example.com/lockstep:")


def test_what_reads_a_secret_when_it_starts_is_restarted_when_that_changes(tmp_path: Path) -> None:
    rendered = render(overlay_with(tmp_path, "local", "toolbox", "redis-tls", "reloader"))
    for each in rendered.of("Deployment", "StatefulSet"):
        told = each.body["metadata"].get("annotations", {}).get("secret.reloader.stakater.com/reload", "")
        sources = [one.get("valueFrom", {}) for one in each.containers[0].get("env", [])]
        read = {source["secretKeyRef"]["name"] for source in sources if "secretKeyRef" in source}
        if each.labels[COMPONENT] == "redis":
            read |= {one["secret"]["secretName"] for one in each.pod["volumes"] if "secret" in one}
        assert read <= set(told.split(",")), each


def test_a_prefix_reaches_what_copies_redis(tmp_path: Path) -> None:
    made = overlay_with(tmp_path, "local", "backup", "redis-tls")
    file = made / "kustomization.yaml"
    file.write_text(f"{file.read_text('utf-8')}namePrefix: blue-\n", "utf-8")
    rendered = render(made)
    (asked,) = (
        each["value"]
        for each in rendered.component("backup").containers[0]["env"]
        if each["name"] == "REDIS_HOST"
    )
    assert rendered.one("Service", asked).labels[COMPONENT] == "redis"
    script = (ROOT / "manifests/components/backup/backup.sh").read_text("utf-8")
    assert '-h "$REDIS_HOST"' in script


def test_redis_memory_is_changed_without_a_copy_of_its_settings(tmp_path: Path) -> None:
    more = {
        "name": "redis-settings",
        "behavior": "merge",
        "literals": ["more-own.conf=maxmemory 2gb"],
    }
    config = render(overlay(tmp_path, "local", {"configMapGenerator": [more]})).config("redis-settings")
    assert config["more-own.conf"] == "maxmemory 2gb"
    *_, last = config["redis.conf"].splitlines()
    assert last == "include /etc/redis/more-*.conf", "what is read last wins"


@pytest.mark.parametrize("base", ["local", "production"])
def test_stopped_nobody_works_and_nobody_scales(base: str, tmp_path: Path) -> None:
    stopped = render(overlay_with(tmp_path, base, "stopped"))
    for name in ("worker-operations", "worker-rollback", "beat"):
        assert stopped.component(name).spec["replicas"] == 0
    for each in stopped.of("ScaledObject"):
        assert each.body["metadata"]["annotations"] == {"autoscaling.keda.sh/paused-replicas": "0"}
    assert bool(stopped.of("ScaledObject")) == (base == "production")


def test_the_operator_has_the_alerts_and_the_dashboard_that_are_tested(tmp_path: Path) -> None:
    rendered = render(overlay_with(tmp_path, "production", "prometheus-operator"))
    alerts = yaml.safe_load((ROOT / "watching" / "alerts.yaml").read_text("utf-8"))
    assert rendered.one("PrometheusRule", "lockstep").spec == alerts
    dashboard = rendered.one("ConfigMap", "lockstep-dashboard")
    assert dashboard.labels["grafana_dashboard"] == "1"
    text = (ROOT / "watching" / "dashboard.json").read_text("utf-8")
    assert dashboard.body["data"] == {"dashboard.json": text}
    (endpoint,) = rendered.one("PodMonitor", "lockstep").spec["podMetricsEndpoints"]
    ports = rendered.component("worker-rollback").containers[0]["ports"]
    assert endpoint["port"] in {each["name"] for each in ports}
    rendered.one("NetworkPolicy", "metrics-from-prometheus")


def test_flower_is_published_without_a_retired_controller_and_by_the_gateway_api_too(
    tmp_path: Path,
) -> None:
    rendered = render(overlay_with(tmp_path, "local", "ingress", "route"))
    (ingress,), (route,) = rendered.of("Ingress"), rendered.of("HTTPRoute")
    assert "ingressClassName" not in ingress.spec
    service = rendered.one("Service", "flower")
    (backend,) = route.spec["rules"][0]["backendRefs"]
    assert (backend["name"], backend["port"]) == (service.name, service.spec["ports"][0]["port"])
    for name in ("flower-from-ingress", "flower-from-gateway"):
        policy = rendered.one("NetworkPolicy", name).spec
        assert policy["ingress"][0]["ports"][0]["port"] == 5555
