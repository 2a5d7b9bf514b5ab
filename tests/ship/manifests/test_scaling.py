"""How many workers: one owner of the number in each overlay, who goes by the hosts that wait."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lockstep.worker.monitoring.endpoint import Figures, RecordCollector
from tests.ship.rendered import COMPONENT, WORKERS, Rendered, overlay, production_with, render

OWNER = "lockstep/replicas"


def test_keda_asks_workers_for_the_workers_that_the_waiting_hosts_would_occupy(production: Rendered) -> None:
    registry = CollectorRegistry()
    registry.register(RecordCollector(lambda: Figures(workers_wanted=dict.fromkeys(WORKERS.values(), 1.5))))
    told = generate_latest(registry).decode()
    service = production.one("Service", "workers")
    for name, queue in WORKERS.items():
        scaler = production.one("ScaledObject", name).spec
        (trigger,) = scaler["triggers"]
        asked = trigger["metadata"]
        assert f"{asked['valueLocation']} 1.5\n" in told
        assert asked["valueLocation"].endswith(f'{{queue="{queue}"}}')
        assert (trigger["metricType"], asked["targetValue"], asked["format"]) == (
            "AverageValue",
            "1",
            "prometheus",
        )
        port = int(production.settings()["LOCKSTEP_METRICS_PORT"])
        namespace = service.body["metadata"]["namespace"]
        assert asked["url"] == f"http://{service.name}.{namespace}.svc:{port}/metrics"
        assert 1 <= scaler["minReplicaCount"] <= scaler["maxReplicaCount"]
    assert service.spec["selector"][COMPONENT] == "worker-rollback", "there is always one"


def test_keda_needs_no_login(production: Rendered) -> None:
    assert not production.of("TriggerAuthentication")
    assert not [each for each in production.of("NetworkPolicy") if "redis-from-keda" in each.name]


def test_a_prefix_reaches_what_is_scaled(tmp_path: Path) -> None:
    rendered = render(overlay(tmp_path, "production", {"namePrefix": "blue-"}))
    deployments = {each.name for each in rendered.of("Deployment")}
    scaled = {each.spec["scaleTargetRef"]["name"] for each in rendered.of("ScaledObject")}
    assert scaled == {f"blue-{name}" for name in WORKERS}
    assert scaled <= deployments


def test_no_number_of_workers_is_applied_that_somebody_else_may_have_changed(rendered: Rendered) -> None:
    """What is not in the manifests is not put back by the next apply, whoever scales."""
    scaled = {
        each.spec["scaleTargetRef"]["name"]: each.kind
        for each in rendered.of("ScaledObject", "HorizontalPodAutoscaler")
    }
    assert set(scaled) in (set(), set(WORKERS))
    owners = {None: "hand", "ScaledObject": "keda", "HorizontalPodAutoscaler": "hpa"}
    for name in WORKERS:
        worker = rendered.component(name)
        assert "replicas" not in worker.spec
        assert worker.body["metadata"]["annotations"][OWNER] == owners[scaled.get(name)]


def test_an_overlay_may_own_the_number(tmp_path: Path) -> None:
    counts = [{"name": name, "count": 3} for name in WORKERS]
    rendered = render(overlay(tmp_path, "local", {"replicas": counts}))
    assert [rendered.component(name).spec["replicas"] for name in WORKERS] == [3, 3]


def test_keda_and_hpa_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(production_with(tmp_path, "keda", "hpa"))
    assert "lockstep~1replicas" in caught.value.stderr
