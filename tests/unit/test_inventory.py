from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep.worker.inventory import Inventory, load_inventory, parse_url
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from lockstep.worker.settings import Settings


def from_text(tmp_path: Path, text: str | bytes) -> Inventory:
    file = tmp_path / "hosts.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_inventory(Settings(inventory=str(file)))


def from_urls(text: str) -> dict[str, str]:
    return {host.name: host.url for host in load_inventory(Settings(hosts=text))}


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        from_text(tmp_path, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


FULL = """\
hosts:
  - name: node1
    url: https://node1.example:8443/api/
    ca_file: /etc/ca.pem
    token_file: /run/token
    labels: {zone: a}
  - name: node2
    url: http://node2
    verify: false
"""


def test_a_file_says_all_about_each_host(tmp_path: Path) -> None:
    inventory = from_text(tmp_path, FULL)
    one, two = inventory
    assert len(inventory) == 2
    assert (one.name, one.url) == ("node1", "https://node1.example:8443/api")
    assert (one.verify, one.token_file, one.labels) == ("/etc/ca.pem", "/run/token", {"zone": "a"})
    assert (two.url, two.verify, two.token_file, two.labels) == ("http://node2:80", False, None, {})


@pytest.mark.parametrize(
    "raw",
    [
        FULL.encode("utf-8-sig"),
        FULL.replace("\n", "\r\n").encode(),
        FULL.replace("\n", "\r\n").encode("utf-8-sig"),
        FULL.removeprefix("hosts:\n").encode(),
        f"---\n# all nodes\n{FULL}...\n".encode(),
    ],
    ids=["BOM", "CRLF", "both", "a bare list", "document marks"],
)
def test_other_spellings_mean_the_same(tmp_path: Path, raw: bytes) -> None:
    assert list(from_text(tmp_path, raw)) == list(from_text(tmp_path, FULL))


def entry(**keys: str) -> str:
    lines = [f"{key}: {value}" for key, value in {"name": "node1", "url": "http://node1", **keys}.items()]
    return "hosts:\n  - " + "\n    ".join(lines) + "\n"


def test_the_entry_that_the_refusals_start_from_is_good(tmp_path: Path) -> None:
    assert [host.name for host in from_text(tmp_path, entry())] == ["node1"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no list of hosts"]),
        ("hosts:\n", ["no list of hosts"]),
        ("hosts: node1\n", ["no list of hosts"]),
        ("hosts: []\n", ["empty list of hosts"]),
        ("hosts: []\nnodes: []\n", ['"nodes"', "unknown"]),
        ("hosts: [\n", ["not plain YAML"]),
        (b"hosts: \xff\xfe\n", ["no UTF-8 text"]),
        ("hosts:\n  - node1\n", ["entry 1", '"node1"', "not a mapping"]),
        ("hosts:\n  - &a {name: n, url: 'http://n'}\n", ["line 2", "anchor"]),
        ("hosts:\n  - name: *a\n", ["line 2", "alias"]),
        ("hosts:\n  - name: !!str n\n", ["line 2", "tag"]),
        (entry(labels="{zone: eu, zone: us}"), ["line 4", '"zone" a second time']),
        (entry() + "    url: http://other\n", ["line 4", '"url" a second time']),
        (entry() + "hosts: []\n", ["line 4", '"hosts" a second time']),
        ("- {name: node1, url: http://a, cert_file: 7}", ["node1", "cert_file 7", "path"]),
        (entry(key_file="k.pem"), ["node1", "key_file and no cert_file", "both"]),
        (entry(colour="red"), ["entry 1", '"colour"', "known: name, url"]),
        (entry(name="'node 1'"), ['"node 1"', "A-Z a-z 0-9"]),
        (entry(name="''"), ['""', "1 to 128 characters"]),
        (entry(name="7"), ["the name 7"]),
        (entry(name=".."), ['".."']),
        (entry(name="x" * 129), ["xxx… (131 characters)", "1 to 128 characters"]),
        (entry(verify="perhaps"), ['"node1"', '"perhaps"', "true or false"]),
        (entry(ca_file="7"), ["ca_file 7", "must be a path"]),
        (entry(token_file="[a]"), ["token_file ['a']", "must be a path"]),
        (entry(ca_file="/ca.pem", verify="false"), ["ca_file", "verify false", "choose one"]),
        (entry(labels="[a]"), ["labels ['a']", "mapping of strings"]),
        (entry(labels="{rack: 7}"), ["{'rack': 7}", "quote numbers"]),
        (entry(url=""), ["url None", "missing"]),
        (entry() + "  - {name: node1, url: 'http://other'}\n", ['"node1"', "twice"]),
        (entry() + "  - {name: NODE1, url: 'http://other'}\n", ['"NODE1"', "twice"]),
        (
            entry() + "  - {name: other, url: 'http://NODE1:80/'}\n",
            ['"http://node1:80"', '"other"', '"node1"'],
        ),
    ],
)
def test_each_rule_names_the_value_that_breaks_it(
    tmp_path: Path, text: str | bytes, parts: list[str]
) -> None:
    said = refusal(tmp_path, text)
    for part in parts:
        assert part in said


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match=r'"/no/such/file" cannot be read: No such file'):
        load_inventory(Settings(inventory="/no/such/file"))


def test_nothing_given_is_an_error_that_says_what_to_set() -> None:
    with pytest.raises(InvalidInput, match="set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY"):
        load_inventory(Settings())


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("http://node1", "http://node1:80"),
        ("https://node1", "https://node1:443"),
        ("HTTP://NODE1:8080/", "http://node1:8080"),
        ("http://node1.example./api//", "http://node1.example:80/api"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://10.0.0.1:1", "http://10.0.0.1:1"),
    ],
)
def test_a_url_has_one_canonical_form(given: str, canonical: str) -> None:
    assert parse_url(given) == canonical
    assert parse_url(canonical) == canonical


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (None, "missing"),
        ("", "missing"),
        (8080, "not a string"),
        ("node1:8080", "must start with http"),
        ("ftp://node1", "must start with http"),
        ("http://", "names no host"),
        ("http://:80", "names no host"),
        ("http://node 1", "a blank"),
        ("http://node1\n", "a blank"),
        ("http://node1\\x", "a blank, a backslash"),
        ("http://node1?x=1", "query"),
        ("http://node1#top", "fragment"),
        ("http://node1:0", "port 0"),
        ("http://node1:", "port missing"),
        ("http://node1:65536", "malformed"),
        ("http://node1:http", "malformed"),
        ("http://::1:80", "malformed|brackets"),
        ("http://[::1", "malformed"),
    ],
)
def test_other_urls_are_refused_with_the_rule(given: object, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        parse_url(given)


def test_a_secret_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidInput, match="token_file") as caught:
        parse_url("http://ann:sesame@node1")
    assert "sesame" not in str(caught.value)
    assert "node1" in str(caught.value)


def test_quick_start_hosts_are_named_after_their_urls() -> None:
    assert from_urls("http://node1:81, http://node2:82") == {
        "node1": "http://node1:81",
        "node2": "http://node2:82",
    }


def test_hosts_at_one_address_are_told_apart_by_their_ports() -> None:
    named = from_urls("http://127.0.0.1:81,http://127.0.0.1:82,http://[::1]:83")
    assert list(named) == ["127.0.0.1-81", "127.0.0.1-82", "0--1"]


def test_hosts_behind_one_gateway_are_told_apart_by_their_paths() -> None:
    named = from_urls("http://gw/a,http://gw/b/c,http://gw:81,http://gw:82/a,http://gw:82,http://other/x")
    assert list(named) == ["gw-80-a", "gw-80-b-c", "gw-81", "gw-82-a", "gw-82", "other"]
    assert named["gw-80-b-c"] == "http://gw:80/b/c"


@pytest.mark.parametrize("text", ["http://a:1,,http://b:2", "http://a:1,", ",", " "])
def test_an_empty_element_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInput, match="has an empty element: drop the extra comma"):
        from_urls(text)


def test_one_url_given_twice_is_an_error() -> None:
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
    inventory = Inventory(host(f"node{n}") for n in range(500))
    with pytest.raises(InvalidInput, match=r"node9, … \(500 in all\)"):
        inventory.select(["missing"])


def test_ten_thousand_hosts_are_taken(tmp_path: Path) -> None:
    """How long that takes is measured by `python -m benchmarks.command` and told in docs/inventory.md."""
    text = "hosts:\n" + "".join(f"- {{name: node{n}, url: 'http://node{n}:80'}}\n" for n in range(10_000))
    assert len(from_text(tmp_path, text)) == 10_000


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


@pytest.mark.parametrize(("given", "seconds"), [("5s", 5.0), ("5", 5.0), ("0.5s", 0.5), ("'2 s'", 2.0)])
def test_a_host_may_show_its_writes_later(tmp_path: Path, given: str, seconds: float) -> None:
    (host,) = from_text(tmp_path, f"hosts: [{{name: node1, url: 'http://node1', shows_after: {given}}}]")
    assert host.shows_after == seconds


@pytest.mark.parametrize("given", ["soon", "-1", "0", "true", "1e3", "[5]"])
def test_anything_else_is_refused(tmp_path: Path, given: str) -> None:
    said = refusal(tmp_path, f"hosts: [{{name: node1, url: 'http://node1', shows_after: {given}}}]")
    assert said.endswith("give seconds, such as 5s")


def test_what_shows_later_than_it_settles_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "hosts: [{name: node1, url: 'http://node1', shows_after: 11s}]")
    assert said == 'host "node1" has shows_after 11: it must not exceed LOCKSTEP_SETTLE_SECONDS, 10'


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:sesame@node1",
        "http://ann:ses/ame@node1",
        "http://ann:sesame@node1:port",
        "http://ann:sesame@::1:80",
        "http://ann:sesame@node1?x",
        "ftp://ann:sesame@node1",
        "http://ann: sesame@node1",
        "http://[ann:sesame@node1",
    ],
)
def test_no_rule_that_a_url_breaks_shows_a_password(url: str, tmp_path: Path) -> None:
    told: list[str] = []
    for settings in (
        Settings(hosts=url),
        Settings(hosts=f"{url},"),
        Settings(hosts=f"{url},{url}"),
        Settings(inventory=written(tmp_path, f"hosts: [{{url: '{url}', name: 7}}]")),
        Settings(inventory=written(tmp_path, f"hosts: [{{url: '{url}', name: node1}}]")),
        Settings(inventory=written(tmp_path, f"hosts: ['{url}']")),
        Settings(inventory=written(tmp_path, f"hosts: [{{'{url}': 1}}]")),
        Settings(inventory=written(tmp_path, f"hosts: [{{url: 'http://a', name: a, ca_file: ['{url}']}}]")),
    ):
        with pytest.raises(InvalidInput) as caught:
            load_inventory(settings)
        told.append(str(caught.value))
    assert not [text for text in told if "sesame" in text or "ses/ame" in text]


def written(folder: Path, text: str) -> str:
    """Return the path of a file with this text."""
    path = folder / "hosts.yaml"
    path.write_text(text)
    return str(path)


def test_a_certificate_of_ours_may_hold_its_key(tmp_path: Path) -> None:
    def cert(**given: str) -> object:
        file = tmp_path / "hosts"
        file.write_text(json.dumps([{"name": "node1", "url": "https://node1", **given}]))
        (host,) = load_inventory(Settings(inventory=str(file)))
        return host.cert

    assert cert() is None
    assert cert(cert_file="c") == ("c", "c")
    assert cert(cert_file="c", key_file="k") == ("c", "k")
