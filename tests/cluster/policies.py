"""Network policies, enforced by iptables in the network of each pod.

By the strictest reading: an ipBlock stands for no pod, as with Cilium. What comes from the machine itself is
let in, as every network does for probes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Network
from typing import Final

from tests.cluster.control_plane import Json
from tests.cluster.pod import GATEWAY, Pod

PODS: Final = tuple(IPv4Network("10.244.0.0/16").address_exclude(IPv4Network("10.244.0.0/24")))
"""Where pods are; below it are the machine, the hosts and whatever else is outside."""
HEAD: Final = """*filter
:INPUT {Ingress} [0:0]
:FORWARD DROP [0:0]
:OUTPUT {Egress} [0:0]
-A INPUT -i lo -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -s {machine}/32 -j ACCEPT
"""


class Policies:
    """All policies as they are, and who is there for them to speak of."""

    def __init__(self, policies: list[Json], namespaces: list[Json], pods: list[Pod]) -> None:
        self._policies, self._pods = policies, pods
        self._labels = {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in namespaces}

    def of(self, pod: Pod) -> str:
        """Return what iptables-restore is given in the network of a pod."""
        rules: set[str] = set()
        default = {"Ingress": "ACCEPT", "Egress": "ACCEPT"}
        for policy in self._policies:
            spec = policy["spec"]
            if policy["metadata"]["namespace"] != pod.namespace or not chosen(
                spec["podSelector"], pod.labels
            ):
                continue
            for direction in spec["policyTypes"]:
                default[direction] = "DROP"
                for rule in spec.get(direction.lower(), []):
                    rules |= set(self._rule(direction, rule, pod.namespace))
        return HEAD.format(**default, machine=GATEWAY) + "".join(sorted(rules)) + "COMMIT\n"

    def _rule(self, direction: str, rule: Json, namespace: str) -> Iterator[str]:
        chain, side, key = ("INPUT", "-s", "from") if direction == "Ingress" else ("OUTPUT", "-d", "to")
        peers = rule.get(key)
        places = ["0.0.0.0/0"] if not peers else [at for one in peers for at in self._peer(one, namespace)]
        for place in places:
            for port in rule.get("ports", [{}]):
                proto = port.get("protocol", "TCP").lower()
                to = f" -p {proto} --dport {port['port']}:{port.get('endPort', port['port'])}" if port else ""
                yield f"-A {chain} {side} {place}{to} -j ACCEPT\n"

    def _peer(self, peer: Json, namespace: str) -> Iterator[str]:
        if block := peer.get("ipBlock"):
            if ":" not in block["cidr"]:
                yield from outside(block["cidr"], tuple(block.get("except", [])))
            return
        for pod in self._pods:
            near = (
                chosen(peer["namespaceSelector"], self._labels.get(pod.namespace, {}))
                if "namespaceSelector" in peer
                else pod.namespace == namespace
            )
            if near and chosen(peer.get("podSelector", {}), pod.labels):
                yield f"{pod.address}/32"


@cache
def outside(cidr: str, excepted: tuple[str, ...]) -> list[str]:
    """Return the networks that make up a block without what is excepted, and without pods."""
    places = [IPv4Network(cidr)]
    for away in (*map(IPv4Network, excepted), *PODS):
        places = [
            left
            for place in places
            if not place.subnet_of(away)
            for left in (place.address_exclude(away) if away.subnet_of(place) else [place])
        ]
    return [str(place) for place in places]


def chosen(selector: Json, labels: dict[str, str]) -> bool:
    """Tell whether a selector chooses what has these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )
