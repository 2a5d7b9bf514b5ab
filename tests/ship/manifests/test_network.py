"""Who may speak to whom: nobody to anybody, unless a policy says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ship.manifests.settings import load
from tests.ship.rendered import COMPONENT, WORKERS, Object, Rendered


def test_workers_write_json_and_answer_prometheus_where_it_is_told_to_ask(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, _ = load(rendered, monkeypatch, tmp_path)
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


def test_nobody_speaks_to_anybody_unless_allowed(rendered: Rendered) -> None:
    deny = rendered.one("NetworkPolicy", "default-deny").spec
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    known = {each.labels[COMPONENT] for each in rendered.starting_pods()} | {"command"}
    hosts = rendered.one("NetworkPolicy", "lockstep-to-hosts").spec
    named = set(hosts["podSelector"]["matchExpressions"][0]["values"])
    assert named <= known
    assert hosts["egress"][0]["to"][0]["ipBlock"]["except"] == ["169.254.169.254/32"]
