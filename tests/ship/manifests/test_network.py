"""Who may speak to whom: nobody to anybody, unless a policy says so."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.ship.manifests.settings import load
from tests.ship.rendered import COMPONENT, ROOT, WORKERS, Object, Rendered


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
        told = template["metadata"].get("annotations", {})
        annotations = {name: value for name, value in told.items() if name.startswith("prometheus.io/")}
        assert annotations in ({}, _scraped(settings.metrics_port))
        allowed = {each.name for each in rendered.of("NetworkPolicy") if _lets_in(each, name)}
        keda = {"metrics-from-keda"} if rendered.of("ScaledObject") and name == "worker-rollback" else set()
        assert allowed == ({"metrics-from-prometheus"} if annotations else set()) | keda


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


METADATA = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23")
"""Where clouds tell a machine, or a pod, about itself: with credentials."""


def test_hosts_are_reached_wherever_they_are_but_not_what_clouds_tell_about_a_machine(
    rendered: Rendered,
) -> None:
    (rule,) = rendered.one("NetworkPolicy", "lockstep-to-hosts").spec["egress"]
    for address in ("192.0.2.10", "10.244.0.9", "2001:db8::6", "fd12::1"):
        assert _reaches(rule["to"], address), address
    for address in METADATA:
        assert not _reaches(rule["to"], address), address
    assert {"namespaceSelector": {}} in rule["to"], "pods, where no address is one's"


def test_names_are_looked_up_wherever_dns_is(rendered: Rendered) -> None:
    """Pods of any namespace, NodeLocal DNSCache, GKE's Cloud DNS; OpenShift's pods listen on 5353."""
    policy = rendered.one("NetworkPolicy", "everybody-to-dns").spec
    assert policy["podSelector"] == {}
    (rule,) = policy["egress"]
    assert "to" not in rule
    assert {(each["protocol"], each["port"]) for each in rule["ports"]} == {
        (protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)
    }


def test_what_listens_does_so_by_every_protocol(rendered: Rendered) -> None:
    assert "--address=" in rendered.component("flower").containers[0]["command"]
    assert "LOCKSTEP_METRICS_ADDRESS=::" in (ROOT / "Dockerfile").read_text("utf-8")


def _reaches(peers: list[dict[str, Any]], address: str) -> bool:
    wanted = ip_address(address)
    blocks = [each["ipBlock"] for each in peers if "ipBlock" in each]
    return any(
        wanted in ip_network(block["cidr"])
        and not any(wanted in ip_network(each) for each in block.get("except", []))
        for block in blocks
    )
