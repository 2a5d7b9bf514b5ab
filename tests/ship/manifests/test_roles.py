"""What each role of Lockstep needs: settings that are accepted, time to end, a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.worker.celery import configuration
from tests.ship.manifests.settings import load
from tests.ship.rendered import COMPONENT, LOCAL, WORKERS, Rendered, render


def test_settings_and_inventory_are_accepted(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, inventory = load(rendered, monkeypatch, tmp_path)
    assert settings.inventory == str(tmp_path / "inventory.yaml")
    assert len(list(inventory)) >= 3


def test_workers_are_given_long_enough_to_end_the_call_they_are_in(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, _ = load(rendered, monkeypatch, tmp_path)
    soft = configuration(settings)["worker_soft_shutdown_timeout"]
    for name in WORKERS:
        grace = rendered.component(name).pod["terminationGracePeriodSeconds"]
        assert grace >= settings.call_timeout + soft + 2 * settings.redis_timeout


def test_each_queue_has_its_own_workers_with_names_of_their_own(rendered: Rendered) -> None:
    for name, queue in WORKERS.items():
        command = " ".join(rendered.component(name).containers[0]["command"])
        assert f" -Q {queue} -n {queue}@%h " in f"{command} "
        assert command.startswith("celery -A lockstep worker ")


def test_celery_hears_sigterm_itself(rendered: Rendered) -> None:
    for each in rendered.starting_pods():
        for container in each.containers:
            assert container["command"][0] not in ("sh", "bash"), each


def test_redis_keeps_what_it_acknowledged() -> None:
    redis = render(LOCAL).component("redis")
    options = render(LOCAL).redis_options()
    assert options["appendonly"] == "yes"
    assert options["appendfsync"] == "always"
    assert options["maxmemory-policy"] == "noeviction"
    assert redis.spec["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    assert {"name": "data", "mountPath": options["dir"]} in redis.containers[0]["volumeMounts"]
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
    assert container["command"][:3] == ["python", "-m", "lockstep.worker.monitoring.flower"]
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


def test_workers_spread_and_are_drained_one_at_a_time(rendered: Rendered) -> None:
    for name in WORKERS:
        topologies = {
            each["topologyKey"] for each in rendered.component(name).pod["topologySpreadConstraints"]
        }
        assert topologies == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        budget = rendered.one("PodDisruptionBudget", name).spec
        assert budget["maxUnavailable"] == 1
        # Two that are not ready, and do nothing, would else keep their machine from being drained.
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
