"""What anybody may ask of a pod: no rights, no secrets, bounds, probes."""

from __future__ import annotations

import re

from tests.ship.rendered import COMPONENT, ROOT, WORKERS, Rendered

PROBE = ("python", "-m", "lockstep.worker.monitoring.probe")


def test_the_namespace_enforces_restricted_pod_security(rendered: Rendered) -> None:
    labels = rendered.one("Namespace", "lockstep").labels
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_what_pods_write_keeps_no_machine(rendered: Rendered) -> None:
    """The autoscaler keeps a machine for a pod with files of its own, unless it is told that they may go."""
    for each in rendered.of("Deployment", "StatefulSet"):
        own = [volume["name"] for volume in each.pod["volumes"] if "emptyDir" in volume]
        assert each.template is not None
        told = each.template["metadata"]["annotations"]
        assert told["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"].split(",") == own, each


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
        if each.labels[COMPONENT] not in ("redis", "backup"):
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
            assert container[probe]["exec"]["command"] == [*PROBE, sign]


def test_beat_lives_while_redis_is_away_and_is_ready_once_it_has_sent_a_sweep(rendered: Rendered) -> None:
    (container,) = rendered.component("beat").containers
    for probe, sign in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
        assert container[probe]["exec"]["command"] == [*PROBE, sign, "beat"]


def test_a_worker_or_beat_that_ends_itself_or_fails_its_probe_is_started_again(rendered: Rendered) -> None:
    for name in (*WORKERS, "beat"):
        pod = rendered.component(name)
        assert pod.pod.get("restartPolicy", "Always") == "Always"
        (container,) = pod.containers
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] <= 60


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
