"""URLs of hosts, and which of the known hosts a caller means."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.worker.inventory import Inventory, load_inventory
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host, parse_url
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings


def from_urls(text: str) -> dict[str, str]:
    return {host.name: host.url for host in load_inventory(Settings(hosts=text))}


CANONICAL = {
    "http://node1": "http://node1:80",
    "https://node1": "https://node1:443",
    "HTTP://NODE1:8080/": "http://node1:8080",
    "http://node1.example./api//": "http://node1.example:80/api",
    "http://[::1]:8080": "http://[::1]:8080",
    "http://10.0.0.1:1": "http://10.0.0.1:1",
}


@pytest.mark.parametrize(("given", "canonical"), CANONICAL.items())
def test_a_url_has_one_canonical_form(given: str, canonical: str) -> None:
    assert parse_url(given) == canonical
    assert parse_url(canonical) == canonical


REFUSED: dict[str, tuple[object, ...]] = {
    "missing": (None, ""),
    "not a string": (8080,),
    "must start with http": ("node1:8080", "ftp://node1"),
    "names no host": ("http://", "http://:80"),
    "a blank, a backslash": ("http://node 1", "http://node1\n", "http://node1\\x"),
    "is not all ASCII: percent-encode its path, and give a name as xn--": (
        "http://n\u00f6de1",
        "http://node1/gr\u00fcn",
        "http://node1:\u0661",
    ),
    "query": ("http://node1?x=1",),
    "fragment": ("http://node1#top",),
    "port 0": ("http://node1:0",),
    "port missing": ("http://node1:",),
    "malformed": ("http://node1:65536", "http://node1:http", "http://[::1"),
    "put it in brackets": ("http://::1", "http://::1:80", "http://::1:80/x"),
}


@pytest.mark.parametrize(("rule", "given"), [(rule, each) for rule, all_ in REFUSED.items() for each in all_])
def test_other_urls_are_refused_with_the_rule(rule: str, given: object) -> None:
    with pytest.raises(InvalidInput, match=rule):
        parse_url(given)


def test_quick_start_hosts_are_named_after_their_urls() -> None:
    assert from_urls("http://n1:81, http://n2:82") == {"n1": "http://n1:81", "n2": "http://n2:82"}


def test_hosts_at_one_address_are_told_apart_by_their_ports() -> None:
    named = from_urls("http://127.0.0.1:81,http://127.0.0.1:82,http://[::1]:83")
    assert list(named) == ["127.0.0.1-81", "127.0.0.1-82", "ip6-localhost"]


def test_hosts_behind_one_gateway_are_told_apart_by_their_paths() -> None:
    named = from_urls("http://gw/a,http://gw/b/c,http://gw:81,http://gw:82/a,http://gw:82,http://other/x")
    assert list(named) == ["gw-80-a", "gw-80-b-c", "gw-81", "gw-82-a", "gw-82", "other"]
    assert named["gw-80-b-c"] == "http://gw:80/b/c"


@pytest.mark.parametrize("text", ["http://a:1,,http://b:2", "http://a:1,", ",", " "])
def test_an_empty_element_is_an_error_and_so_is_one_url_given_twice(text: str) -> None:
    with pytest.raises(InvalidInput, match="has an empty element: drop the extra comma"):
        from_urls(text)
    with pytest.raises(InvalidInput, match="twice"):
        from_urls("http://node1,http://node1:80")


def host(name: str) -> Host:
    return Host(HostName(name), f"http://{name}:80")


def test_hosts_are_chosen_by_name() -> None:
    inventory = Inventory(host(f"node{n}") for n in range(3))
    assert [each.name for each in inventory.select(None)] == ["node0", "node1", "node2"]
    assert [each.name for each in inventory.select(["node2", "node0", "node2"])] == ["node2", "node0"]
    assert inventory.find(HostName("node1")) == host("node1")
    assert inventory.find(HostName("node9")) is None


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["node9"], r'"node9" is not in the inventory; known: node0, node1'),
        (["NODE1"], r'"NODE1" is not in the inventory'),
        ([7], r"host 7 is not in the inventory"),
        ([], "list of hosts is empty"),
        ("node1", r'hosts "node1" is a string'),
    ],
)
def test_a_bad_choice_is_named(names: list[object] | str, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        Inventory(host(f"node{n}") for n in range(2)).select(names)


def test_a_long_inventory_is_not_listed_in_full() -> None:
    with pytest.raises(InvalidInput, match=r"node9, … \(500 in all\)"):
        Inventory(host(f"node{n}") for n in range(500)).select(["missing"])


def test_the_fingerprint_tells_urls_apart_and_shows_none() -> None:
    one, two = host("node1"), host("node2")
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == Host(HostName("other"), one.url).fingerprint
    assert "node1" not in one.fingerprint
    assert one.ref.fingerprint == one.fingerprint


def test_hosts_by_url_may_have_an_authority_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    known = load_inventory(Settings(hosts="https://node1,https://node2", hosts_ca_file=str(file)))
    assert [host.verify for host in known] == [str(file)] * 2
    with pytest.raises(ValueError, match="hosts_ca_file is for hosts"):
        Settings(inventory="hosts.yaml", hosts_ca_file=str(file))
    with pytest.raises(ValueError, match="this file cannot be read"):
        Settings(hosts="https://node1", hosts_ca_file=str(tmp_path / "gone.pem"))
