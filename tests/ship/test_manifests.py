"""Every overlay renders, fits the schemas of Kubernetes and KEDA, and keeps to the rules below."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.ship.rendered import (
    COMPONENT,
    EXAMPLE,
    LOCAL,
    MANIFESTS,
    PRODUCTION,
    ROOT,
    Object,
    Rendered,
    render,
)
from worker.celery import OPERATIONS, ROLLBACK, configuration
from worker.inventory import Inventory, load_inventory
from worker.settings import PREFIX, Settings, load_settings

KUBERNETES = ("1.30", "1.37")
"""The oldest release that the manifests are for, and the newest that the validator knows."""
KEDA_SCHEMA = Path(__file__).with_name("keda.schema.yaml")
WORKERS = {"worker-operations": OPERATIONS, "worker-rollback": ROLLBACK}


@pytest.fixture(scope="session", params=["local", "production", "production with hpa", "example"])
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    if request.param == "production with hpa":
        return render(_production(tmp_path_factory.mktemp("hpa"), "hpa"))
    return render({"local": LOCAL, "production": PRODUCTION, "example": EXAMPLE}[request.param])


@pytest.fixture(scope="session")
def production() -> Rendered:
    return render(PRODUCTION)


def _production(folder: Path, *autoscalers: str) -> Path:
    """Return a copy of the production overlay with other autoscalers."""
    shutil.copytree(MANIFESTS, folder / "manifests")
    overlay = folder / "manifests" / "overlays" / "production"
    path = overlay / "kustomization.yaml"
    wanted = "".join(f"  - ../../components/{name}\n" for name in autoscalers)
    text, count = re.subn(r"  - \.\./\.\./components/keda\n", wanted, path.read_text("utf-8"))
    assert count == 1
    path.write_text(text, "utf-8")
    return overlay


# What Kubernetes would refuse


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_fits_its_schema_and_has_no_unknown_field(rendered: Rendered, version: str) -> None:
    for each in rendered.objects:
        _check(json.dumps(each.body), version)


@pytest.mark.parametrize(("kind", "field"), [("Deployment", "replica"), ("ScaledObject", "minReplicas")])
def test_a_misspelled_field_is_noticed(production: Rendered, kind: str, field: str) -> None:
    body = production.of(kind)[0].body
    with pytest.raises(jsonschema.ValidationError, match=field):
        _check(json.dumps({**body, "spec": {**body["spec"], field: 2}}), KUBERNETES[-1])


@functools.cache  # overlays have most objects in common
def _check(text: str, version: str) -> None:
    """Raise ValidationError for a field that is wrong, missing or unknown."""
    body = json.loads(text)
    if body["apiVersion"].startswith("keda.sh/"):
        jsonschema.Draft202012Validator(_keda()[body["kind"]]).validate(body)
    else:
        kubernetes_validate.validate(body, version, strict=True)


@functools.cache
def _keda() -> dict[str, Any]:
    """Return the schema of each kind; jsonschema names the culprit better in one than in a choice of them."""
    schema = yaml.safe_load(KEDA_SCHEMA.read_text("utf-8"))
    kinds = ("ScaledObject", "TriggerAuthentication")
    return {kind: {**schema, "$ref": f"#/$defs/{kind}"} for kind in kinds}


def test_names_are_unique_and_everything_is_in_the_namespace(rendered: Rendered) -> None:
    named = [str(each) for each in rendered.objects]
    assert len(named) == len(set(named))
    for each in rendered.objects:
        if each.kind != "Namespace":
            assert each.body["metadata"]["namespace"] == "lockstep", each


def test_what_pods_refer_to_is_there_or_is_a_secret_to_be_made(rendered: Rendered) -> None:
    maps = {each.name for each in rendered.of("ConfigMap")}
    secrets = {each.name for each in rendered.of("Secret")}
    to_be_made = {"lockstep-credentials"} | (set() if secrets else {"lockstep-redis", "lockstep-flower"})
    for each in rendered.starting_pods():
        found = list(_references(each.pod))
        assert {name for kind, name in found if kind == "map"} <= maps, each
        assert {name for kind, name in found if kind == "secret"} <= secrets | to_be_made, each


def test_selectors_find_the_pods_that_they_are_for(rendered: Rendered) -> None:
    pods = [_labels_of_pods(each) for each in rendered.starting_pods()]
    for each in rendered.of("Deployment", "StatefulSet"):
        wanted = each.spec["selector"]["matchLabels"].items()
        assert [labels for labels in pods if wanted <= labels.items()] == [_labels_of_pods(each)], each
    for each in rendered.of("Service"):
        assert any(each.spec["selector"].items() <= labels.items() for labels in pods), each
    for each in rendered.of("PodDisruptionBudget"):
        assert any(each.spec["selector"]["matchLabels"].items() <= labels.items() for labels in pods), each


def _labels_of_pods(each: Object) -> dict[str, str]:
    template = each.template
    assert template is not None
    return dict(template["metadata"]["labels"])


def _references(part: Any) -> Any:
    """Yield every ConfigMap and Secret that a pod names."""
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ("configMapRef", "configMapKeyRef", "configMap"):
                yield ("map", value["name"])
            elif key in ("secretRef", "secretKeyRef"):
                yield ("secret", value["name"])
            elif key == "secret":
                yield ("secret", value["secretName"])
            else:
                yield from _references(value)


# What anybody may ask of a pod


def test_the_namespace_enforces_restricted_pod_security(rendered: Rendered) -> None:
    labels = rendered.one("Namespace", "lockstep").labels
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_meet_restricted_pod_security_and_more(rendered: Rendered) -> None:
    for each in rendered.starting_pods():
        own = each.pod["securityContext"]
        assert own["runAsNonRoot"] is True, each
        assert own["runAsUser"] > 0, each
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}, each
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(each.pod), each
        kinds = {"emptyDir", "configMap", "secret", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= kinds for volume in each.pod["volumes"]), each
        for container in each.containers:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, each
            assert context["capabilities"] == {"drop": ["ALL"]}, each
            assert context["readOnlyRootFilesystem"] is True, each
            assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & set(context), each
            assert not any("hostPort" in port for port in container.get("ports", [])), each


def test_our_own_pods_run_as_the_user_of_the_image(rendered: Rendered) -> None:
    said = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert said
    assert int(said[1]) >= 10_000
    for each in rendered.starting_pods():
        if each.labels[COMPONENT] != "redis":
            own = each.pod["securityContext"]
            assert (own["runAsUser"], own["runAsGroup"]) == (int(said[1]), int(said[2])), each


def test_pods_get_no_token_and_no_variables_of_services(rendered: Rendered) -> None:
    for each in rendered.starting_pods():
        assert each.pod["automountServiceAccountToken"] is False, each
        assert each.pod["enableServiceLinks"] is False, each


def test_everything_that_is_written_to_has_a_bound(rendered: Rendered) -> None:
    for each in rendered.starting_pods():
        for volume in each.pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], each
        for container in each.containers:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, each
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}, each
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, each


def test_what_keeps_running_is_probed(rendered: Rendered) -> None:
    for each in rendered.of("Deployment", "StatefulSet"):
        for container in each.containers:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), each


def test_workers_live_while_redis_is_away_and_are_ready_once_they_take_tasks(rendered: Rendered) -> None:
    for name in WORKERS:
        (container,) = rendered.component(name).containers
        for probe, sign in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
            assert container[probe]["exec"]["command"] == ["python", "-m", "worker.telemetry.probe", sign]


def test_images_are_pinned(rendered: Rendered) -> None:
    for each in rendered.starting_pods():
        for container in each.containers:
            name, _, tag = container["image"].rpartition(":")
            assert name, f"{each}: {container['image']} has no tag"
            assert tag != "latest", each


def test_no_secret_is_in_what_production_applies(production: Rendered) -> None:
    assert not production.of("Secret")
    for each in production.starting_pods():
        for container in each.containers:
            for variable in container.get("env", []):
                if re.search("URL|PASSWORD|AUTH|TOKEN", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], variable


# What Lockstep needs


def test_settings_and_inventory_are_accepted(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, inventory = _load(rendered, monkeypatch, tmp_path)
    assert settings.inventory == str(tmp_path / "inventory.yaml")
    assert len(list(inventory)) >= 3


def test_workers_are_given_long_enough_to_end_the_call_they_are_in(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, _ = _load(rendered, monkeypatch, tmp_path)
    soft = configuration(settings)["worker_soft_shutdown_timeout"]
    for name in WORKERS:
        grace = rendered.component(name).pod["terminationGracePeriodSeconds"]
        assert grace >= settings.call_timeout + soft + 2 * settings.redis_timeout


def test_each_queue_has_its_own_workers_with_names_of_their_own(rendered: Rendered) -> None:
    for name, queue in WORKERS.items():
        command = " ".join(rendered.component(name).containers[0]["command"])
        assert f" -Q {queue} -n {queue}@%h " in f"{command} "
        assert command.startswith("celery -A worker worker ")


def test_celery_hears_sigterm_itself(rendered: Rendered) -> None:
    for each in rendered.starting_pods():
        for container in each.containers:
            assert container["command"][0] not in ("sh", "bash"), each


def test_redis_keeps_what_it_acknowledged() -> None:
    redis = render(LOCAL).component("redis")
    command = redis.containers[0]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert redis.spec["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    assert {"name": "data", "mountPath": options["--dir"]} in redis.containers[0]["volumeMounts"]
    assert redis.spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }


def test_there_is_one_redis_in_the_cluster_or_none(production: Rendered) -> None:
    assert render(LOCAL).component("redis").spec["replicas"] == 1
    assert not [each for each in production.objects if each.labels.get(COMPONENT) == "redis"]


def test_one_beat_and_one_flower(rendered: Rendered) -> None:
    assert rendered.component("beat").spec["replicas"] == 1
    assert rendered.component("flower").spec["replicas"] == 1


def test_flower_asks_for_a_password_and_remembers_on_a_disk_that_it_may_write_to(rendered: Rendered) -> None:
    flower = rendered.component("flower")
    (container,) = flower.containers
    assert container["command"][:3] == ["python", "-m", "worker.telemetry.flower"]
    variables = {each["name"]: each for each in container["env"]}
    secret = variables["FLOWER_BASIC_AUTH"]["valueFrom"]["secretKeyRef"]
    assert secret["name"].startswith("lockstep-flower")
    assert not secret.get("optional")
    folder = str(Path(variables["FLOWER_DB"]["value"]).parent)
    (name,) = (each["name"] for each in container["volumeMounts"] if each["mountPath"] == folder)
    (volume,) = (each for each in flower.pod["volumes"] if each["name"] == name)
    rendered.one("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    assert flower.pod["securityContext"]["fsGroup"] == flower.pod["securityContext"]["runAsGroup"]
    # A claim that one pod holds at a time: a second, started first, would wait for it for ever.
    assert flower.spec["strategy"] == {"type": "Recreate"}


def test_workers_write_json_and_answer_prometheus_where_it_is_told_to_ask(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, _ = _load(rendered, monkeypatch, tmp_path)
    assert settings.log_format == "json"
    for name in WORKERS:
        worker = rendered.component(name)
        assert {"name": "metrics", "containerPort": settings.metrics_port} in worker.containers[0]["ports"]
        template = worker.template
        assert template is not None
        annotations = template["metadata"].get("annotations", {})
        assert annotations in ({}, _scraped(settings.metrics_port))
        allowed = [each.name for each in rendered.of("NetworkPolicy") if _lets_in(each, name)]
        assert allowed == (["metrics-from-prometheus"] if annotations else [])


def test_production_lets_prometheus_in_and_nobody_else(production: Rendered) -> None:
    policy = production.one("NetworkPolicy", "metrics-from-prometheus")
    assert all(_lets_in(policy, name) for name in WORKERS)
    assert not any(_lets_in(policy, name) for name in ("beat", "flower"))
    (rule,) = policy.spec["ingress"]
    (source,) = rule["from"]
    assert set(source) == {"namespaceSelector", "podSelector"}
    assert [each["port"] for each in rule["ports"]] == [int(production.settings()["LOCKSTEP_METRICS_PORT"])]


def _scraped(port: int | None) -> dict[str, str]:
    said = {"scrape": "true", "port": str(port), "path": "/metrics"}
    return {f"prometheus.io/{name}": value for name, value in said.items()}


def _lets_in(policy: Object, component: str) -> bool:
    """Say whether a policy lets anybody speak to a component; ours choose pods by that label alone."""
    chosen = policy.spec["podSelector"]
    named = {chosen.get("matchLabels", {}).get(COMPONENT)}
    named.update(*(each["values"] for each in chosen.get("matchExpressions", [])))
    return component in named and bool(policy.spec.get("ingress"))


def test_workers_spread_and_are_drained_one_at_a_time(rendered: Rendered) -> None:
    for name in WORKERS:
        topologies = {
            each["topologyKey"] for each in rendered.component(name).pod["topologySpreadConstraints"]
        }
        assert topologies == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        assert rendered.one("PodDisruptionBudget", name).spec["maxUnavailable"] == 1


def test_nobody_speaks_to_anybody_unless_allowed(rendered: Rendered) -> None:
    deny = rendered.one("NetworkPolicy", "default-deny").spec
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    known = {each.labels[COMPONENT] for each in rendered.starting_pods()} | {"command"}
    hosts = rendered.one("NetworkPolicy", "lockstep-to-hosts").spec
    named = set(hosts["podSelector"]["matchExpressions"][0]["values"])
    assert named <= known
    assert hosts["egress"][0]["to"][0]["ipBlock"]["except"] == ["169.254.169.254/32"]


# Scaling


def test_keda_counts_what_waits_and_what_is_worked_on(production: Rendered) -> None:
    keys = configuration(Settings(**_fields(production)))["broker_transport_options"]["global_keyprefix"]
    for name, queue in WORKERS.items():
        scaler = production.one("ScaledObject", name).spec
        lists = {trigger["name"]: trigger["metadata"]["listName"] for trigger in scaler["triggers"]}
        assert lists == {queue: f"{keys}{queue}", "unacked": f"{keys}unacked"}
        modifiers = scaler["advanced"]["scalingModifiers"]
        assert modifiers["formula"].split(" + ") == list(lists)
        assert modifiers["target"] == str(Settings(**_fields(production)).concurrency)
        assert 1 <= scaler["minReplicaCount"] <= scaler["maxReplicaCount"]
        for trigger in scaler["triggers"]:
            production.one("TriggerAuthentication", trigger["authenticationRef"]["name"])


def test_whoever_is_scaled_has_one_autoscaler_and_no_number_of_its_own(rendered: Rendered) -> None:
    scaled = [
        each.spec["scaleTargetRef"]["name"] for each in rendered.of("ScaledObject", "HorizontalPodAutoscaler")
    ]
    assert len(scaled) == len(set(scaled))
    assert set(scaled) in (set(), set(WORKERS))
    for name in WORKERS:
        assert ("replicas" in rendered.component(name).spec) == (name not in scaled)


def test_keda_and_hpa_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(_production(tmp_path, "keda", "hpa"))
    assert "/spec/replicas" in caught.value.stderr


# The example


def test_the_example_is_repeatable_and_gives_up_on_what_would_not_change() -> None:
    (job,) = render(EXAMPLE).of("Job")
    command = job.containers[0]["command"]
    assert command[:2] == ["lockstep", "create"]
    assert "--id" in command
    (rule,) = (each for each in job.spec["podFailurePolicy"]["rules"] if each["action"] == "FailJob")
    assert rule["onExitCodes"]["values"] == [1, 2, 3, 7]
    assert job.labels[COMPONENT] == "command"


def test_the_example_adds_nothing_but_its_job() -> None:
    assert [str(each) for each in render(EXAMPLE).objects if each not in render(LOCAL).objects] == [
        "Job/create-team-a"
    ]


def _fields(rendered: Rendered) -> dict[str, Any]:
    return {name.removeprefix(PREFIX).lower(): value for name, value in rendered.settings().items()}


def _load(rendered: Rendered, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[Settings, Inventory]:
    """Load what the workers will load, in the way they will."""
    (inventory,) = (each for each in rendered.of("ConfigMap") if each.name.startswith("lockstep-inventory-"))
    for name, value in inventory.body["data"].items():
        (folder / name).write_text(value, "utf-8")
    for name, value in rendered.settings().items():
        mounted = value.replace("/etc/lockstep/", f"{folder}/")
        monkeypatch.setenv(name, mounted)
    settings = load_settings()
    return settings, load_inventory(settings)
