"""Autoscalers: one each, over what waits and what is worked on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lockstep.worker.celery import configuration
from lockstep.worker.settings import Settings
from tests.ship.manifests.settings import fields
from tests.ship.rendered import WORKERS, Rendered, production_with, render


def test_keda_counts_what_waits_and_what_is_worked_on(production: Rendered) -> None:
    keys = configuration(Settings(**fields(production)))["broker_transport_options"]["global_keyprefix"]
    for name, queue in WORKERS.items():
        scaler = production.one("ScaledObject", name).spec
        lists = {trigger["name"]: trigger["metadata"]["listName"] for trigger in scaler["triggers"]}
        assert lists == {queue: f"{keys}{queue}", "unacked": f"{keys}unacked"}
        modifiers = scaler["advanced"]["scalingModifiers"]
        assert modifiers["formula"].split(" + ") == list(lists)
        assert modifiers["target"] == str(Settings(**fields(production)).concurrency)
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
        render(production_with(tmp_path, "keda", "hpa"))
    assert "/spec/replicas" in caught.value.stderr
