from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.worker.inventory import Inventory, load_inventory
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import UNLIMITED, Auth, WriteLimit, parse_url
from lockstep.worker.settings import Settings


def from_text(tmp_path: Path, text: str | bytes) -> Inventory:
    file = tmp_path / "hosts.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_inventory(Settings(inventory=str(file)))


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
    server_name: api.example
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
    assert (one.server_name, two.server_name) == ("api.example", None)
    assert (two.url, two.verify, two.token_file, two.labels) == ("http://node2:80", False, None, {})


SPELLINGS = {
    "BOM": FULL.encode("utf-8-sig"),
    "CRLF": FULL.replace("\n", "\r\n").encode(),
    "both": FULL.replace("\n", "\r\n").encode("utf-8-sig"),
    "a bare list": FULL.removeprefix("hosts:\n").encode(),
    "document marks": f"---\n# all nodes\n{FULL}...\n".encode(),
}


@pytest.mark.parametrize("raw", SPELLINGS.values(), ids=SPELLINGS)
def test_other_spellings_mean_the_same(tmp_path: Path, raw: bytes) -> None:
    assert list(from_text(tmp_path, raw)) == list(from_text(tmp_path, FULL))


def entry(**keys: str) -> str:
    lines = [f"{key}: {value}" for key, value in {"name": "node1", "url": "http://node1", **keys}.items()]
    return "hosts:\n  - " + "\n    ".join(lines) + "\n"


SAME_URL = "  - {name: other, url: 'http://NODE1:80/'}\n"


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
        (entry(server_name="a.example"), ["node1", "server_name and no https URL", "only TLS"]),
        ("- {name: n, url: https://a, server_name: [b]}", ["server_name ['b']", "as in its certificate"]),
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
        (entry(url="http://node1/\u00e9"), ['url "http://node1/', "not all ASCII", "percent-encode", "xn--"]),
        (entry(auth="{basic: 7}"), ["auth {'basic': 7}", "{basic: FILE}"]),
        (entry(auth="{header: 'X Y', file: /k}"), ["auth", "{header: NAME, file: FILE}"]),
        (entry(auth="{basic: /l}", token_file="/t"), ["auth and a token_file", "choose one"]),
        (entry(serves="[rabbit mq]"), ["serves ['rabbit mq']", "[rabbitmq-*]"]),
        (entry() + "kinds: [a]\n", ["kinds ['a']", "path of a folder"]),
        (entry() + "  - {name: node1, url: 'http://other'}\n", ['"node1"', "twice"]),
        (entry() + "  - {name: NODE1, url: 'http://other'}\n", ['"NODE1"', "twice"]),
        (entry() + SAME_URL, ['"http://node1:80"', '"other"', '"node1"']),
    ],
)
def test_each_rule_names_the_value_that_breaks_it(
    tmp_path: Path, text: str | bytes, parts: list[str]
) -> None:
    assert [host.name for host in from_text(tmp_path, entry())] == ["node1"], "what they start from is good"
    said = refusal(tmp_path, text)
    assert [part for part in parts if part not in said] == []


def test_credentials_and_kinds_belong_to_a_host(tmp_path: Path) -> None:
    login, key = "auth: {basic: /l}", "auth: {header: X-API-Key, file: /k}"
    text = f"kinds: mine\nhosts:\n  - {{name: a, url: 'http://a', {login}, serves: [rabbitmq-*, group]}}\n"
    inventory = from_text(tmp_path, f"{text}  - {{name: b, url: 'http://b', {key}}}\n")
    a, b = inventory
    assert (a.auth, a.credentials) == (Auth("/l", basic=True), "/l")
    assert (b.auth, b.credentials) == (Auth("/k", "X-API-Key"), "/k")
    served = [inventory.serving(kind) for kind in ("rabbitmq-user", "group", "etcd-key")]
    assert served == [(a, b), (a, b), (b,)]
    assert inventory.kinds == str(tmp_path / "mine")


def test_a_file_that_is_not_there_is_named_and_where_there_is_none_what_to_set() -> None:
    with pytest.raises(InvalidInput, match=r'"/no/such/file" cannot be read: No such file'):
        load_inventory(Settings(inventory="/no/such/file"))
    with pytest.raises(InvalidInput, match="set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY"):
        load_inventory(Settings())


def test_of_a_host_that_is_given_by_its_url_alone_nothing_else_is_assumed() -> None:
    (host,) = load_inventory(Settings(hosts="https://node1:8443"))
    assert (host.verify, host.shows_after, host.serves, host.limit) == (True, 0.0, ("*",), UNLIMITED)
    assert (host.token_file, host.health, host.cert, host.server_name, host.auth) == (None,) * 5


def test_ten_thousand_hosts_are_taken(tmp_path: Path) -> None:
    """How long that takes is measured by `make bench ONLY=create` and told in docs/inventory.md."""
    text = "hosts:\n" + "".join(f"- {{name: node{n}, url: 'http://node{n}:80'}}\n" for n in range(10_000))
    assert len(from_text(tmp_path, text)) == 10_000


@pytest.mark.parametrize(("given", "seconds"), [("5s", 5.0), ("5", 5.0), ("0.5s", 0.5), ("'2 s'", 2.0)])
def test_a_host_may_show_its_writes_later(tmp_path: Path, given: str, seconds: float) -> None:
    (host,) = from_text(tmp_path, f"hosts: [{{name: node1, url: 'http://node1', shows_after: {given}}}]")
    assert host.shows_after == seconds


LATER = 'host "node1" has shows_after 11: it must not exceed LOCKSTEP_SETTLE_SECONDS, 10'
NO_SECONDS = dict.fromkeys(("soon", "-1", "0", "true", "1e3", "[5]"), "give seconds, such as 5s")


@pytest.mark.parametrize(("given", "why"), {**NO_SECONDS, "11s": LATER}.items())
def test_anything_else_is_refused_and_so_is_later_than_it_settles(
    tmp_path: Path, given: str, why: str
) -> None:
    said = refusal(tmp_path, f"hosts: [{{name: node1, url: 'http://node1', shows_after: {given}}}]")
    assert said.endswith(why)


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
    with pytest.raises(InvalidInput, match=r"node1.*token_file|token_file.*node1") as caught:
        parse_url("http://ann:sesame@node1")
    told = [str(caught.value)]
    for hosts in (url, f"{url},", f"{url},{url}"):
        with pytest.raises(InvalidInput) as caught:
            load_inventory(Settings(hosts=hosts))
        told.append(str(caught.value))
    broken = f"url: '{url}', name: 7", f"url: '{url}', name: node1", f"'{url}': 1"
    for entry in (
        f"'{url}'",
        *(f"{{{each}}}" for each in (*broken, f"url: 'http://a', name: a, ca_file: ['{url}']")),
    ):
        told.append(refusal(tmp_path, f"hosts: [{entry}]"))
    assert not [text for text in told if "sesame" in text or "ses/ame" in text]


def test_a_certificate_of_ours_may_hold_its_key(tmp_path: Path) -> None:
    pairs = {"cert_file": "c"}, {"cert_file": "c", "key_file": "k"}
    for given, cert in zip(({}, *pairs), (None, ("c", "c"), ("c", "k")), strict=True):
        (host,) = from_text(tmp_path, entry(url="https://node1", **given))
        assert host.cert == cert


ONE = "hosts: [{name: a, url: 'http://a'}]\n"


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ("[1]", "give a mapping of waves"),
        ("{wave: 1}", 'the unknown key "wave"'),
        ("{waves: '0'}", 'a wave of "0" hosts is empty'),
        ("{waves: [1]}", "give sizes such as 1,10%,100%"),
        ("{waves: 1, wave_by: zone}", "not both"),
        ("{bake: 60s}", "give waves or wave_by as well"),
        ("{waves: 1, bake: soon}", 'bake "soon"'),
        ("{waves: 1, hold: maybe}", 'hold "maybe": give true or false'),
        ("{waves: 1, health: up}", 'has health "up": give a path'),
    ],
)
def test_defaults_that_cannot_be_are_refused_by_name(tmp_path: Path, defaults: str, said: str) -> None:
    told = refusal(tmp_path, f"defaults: {defaults}\n{ONE}")
    assert told.startswith("inventory defaults")
    assert said in told


def test_a_file_says_how_operations_go(tmp_path: Path) -> None:
    pace = from_text(tmp_path, f"defaults: {{waves: 1, hold: true, health: /up}}\n{ONE}").pace
    assert (pace.waves, pace.hold, pace.health) == ("1", True, "/up")
    assert 'host "a" has health' in refusal(tmp_path, "hosts: [{name: a, url: 'http://a', health: up}]")


LIMITED = """
hosts:
  - {name: a, url: "http://a", max_writes_at_once: 4}
  - {name: b, url: "http://b", writes_per_second: 0.5}
  - {name: c, url: "http://c"}
"""


def test_limits_of_writes_are_of_a_host_or_of_each_or_of_all_together(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(LIMITED)
    plain = load_inventory(Settings(inventory=str(path)))
    assert plain.limits() == {"a": WriteLimit(4), "b": WriteLimit(None, 0.5)}
    assert plain.limits(plain.select(["c"])) == {}
    path.write_text(f"{LIMITED}defaults:\n  max_writes_at_once: 8\n")
    settings = Settings(inventory=str(path), max_writes_at_once=9, writes_per_second=3)
    known = load_inventory(settings)
    limits = {"a": WriteLimit(4), "b": WriteLimit(8, 0.5), "c": WriteLimit(8), "*": WriteLimit(9, 3)}
    assert known.limits() == limits
    assert known.digest != plain.digest


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("max_writes_at_once: 0", "max_writes_at_once 0: give a whole number from 1 to 10000"),
        ("max_writes_at_once: 1.5", "max_writes_at_once 1.5: give a whole number from 1 to 10000"),
        ("max_writes_at_once: true", "max_writes_at_once True: give a whole number from 1 to 10000"),
        ("writes_per_second: 0", "writes_per_second 0: give a number from 0.01 to 1000"),
        ("writes_per_second: true", "writes_per_second True: give a number from 0.01 to 1000"),
        ("writes_per_second: fast", 'writes_per_second "fast": give a number from 0.01 to 1000'),
    ],
)
def test_a_limit_that_is_none_is_refused_in_one_line(tmp_path: Path, given: str, rule: str) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(f'hosts:\n  - name: a\n    url: "http://a"\n    {given}\n')
    with pytest.raises(InvalidInput) as refused:
        load_inventory(Settings(inventory=str(path)))
    assert str(refused.value) == f'host "a" has {rule}'
    path.write_text(f'hosts:\n  - name: a\n    url: "http://a"\ndefaults:\n  {given}\n')
    with pytest.raises(InvalidInput) as refused:
        load_inventory(Settings(inventory=str(path)))
    assert str(refused.value) == f"inventory defaults: {rule}"
