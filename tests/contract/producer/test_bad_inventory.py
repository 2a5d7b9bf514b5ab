"""Inventories through the command: what is refused, with which words, and that nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand

GOOD = "hosts:\n  - name: node1\n    url: http://node1:1\n"
ENTRY = "  - {name: node2, url: 'http://node2:1'}\n"
BOMB = "hosts:\n  - &a [x, x]\n  - &b [*a, *a]\n  - &c [*b, *b]\n"


def with_url(url: str) -> str:
    return f"hosts:\n  - name: node1\n    url: {json.dumps(url)}\n"


SCHEME = "must start with http:// or https://"
TWICE = "stands twice in the inventory: names are unique"
QUERY = "has a query or fragment: give scheme, host and port only"
REFUSED = {
    "no bytes": ("", "inventory FILE has no list of hosts: start it with `hosts:` and one `- name:` each"),
    "blank": ("\n \n", "inventory FILE has no list of hosts: start it with `hosts:` and one `- name:` each"),
    "an empty list": ("hosts: []\n", "inventory FILE has an empty list of hosts: give at least one"),
    "duplicate": (GOOD + "  - {name: node1, url: 'http://b'}\n", f'host name "node1" {TWICE}'),
    "duplicate by case": (GOOD + "  - {name: NODE1, url: 'http://b'}\n", f'host name "NODE1" {TWICE}'),
    "duplicate by case of a URL": (
        GOOD + "  - {name: b, url: 'http://NODE1:1'}\n",
        'url "http://node1:1" of host "b" is that of "node1" too',
    ),
    "duplicate by trailing dot": (
        GOOD + "  - {name: b, url: 'http://node1.:1/'}\n",
        'url "http://node1:1" of host "b" is that of "node1" too',
    ),
    "duplicate by default port": (
        "- {name: a, url: 'http://node1'}\n- {name: b, url: 'http://node1:80'}\n",
        'url "http://node1:80" of host "b" is that of "a" too',
    ),
    "missing scheme": (with_url("node1:1"), f'url "node1:1" {SCHEME}'),
    "missing scheme and port": (with_url("node1"), f'url "node1" {SCHEME}'),
    "two slashes only": (with_url("//node1:1"), f'url "//node1:1" {SCHEME}'),
    "file": (with_url("file:///etc/passwd"), f'url "file:///etc/passwd" {SCHEME}'),
    "userinfo": (
        with_url("http://ann:sesame@node1:1"),
        'url of "node1:1" has a user or password in it: use token_file',
    ),
    "user": (with_url("http://ann@node1:1"), 'url of "node1:1" has a user or password in it: use token_file'),
    "port 0": (with_url("http://node1:0"), 'url "http://node1:0" has port 0: give 1 to 65535'),
    "port 65536": (
        with_url("http://node1:65536"),
        'url "http://node1:65536" is malformed: Port out of range 0-65535',
    ),
    "no port": (with_url("http://node1:"), 'url "http://node1:" has port missing: give 1 to 65535'),
    "bare IPv6": (
        with_url("http://::1:80"),
        'url "http://::1:80" has a bare IPv6 address: put it in brackets',
    ),
    "bare IPv6 without a port": (
        with_url("http://fe80::1"),
        'url "http://fe80::1" has a bare IPv6 address: put it in brackets',
    ),
    "query": (with_url("http://node1:1?x=1"), f'url "http://node1:1?x=1" {QUERY}'),
    "empty query": (with_url("http://node1:1?"), f'url "http://node1:1?" {QUERY}'),
    "fragment": (with_url("http://node1:1#top"), f'url "http://node1:1#top" {QUERY}'),
    "tag": (
        "hosts: !!python/object/apply:os.system [id]\n",
        "inventory FILE line 1 has a YAML tag: write the value out",
    ),
    "anchor bomb": (BOMB, "inventory FILE line 2 has a YAML anchor: write the value out"),
    "alias": ("hosts: *a\n", "inventory FILE line 1 has a YAML alias: write the value out"),
    "too deep": (
        "hosts: " + "[" * 200_000,
        "inventory FILE line 1 is nested more than 20 deep: write it flatter",
    ),
    "duplicate key": (
        GOOD + "    url: http://node2:1\n",
        'inventory FILE line 4 has the key "url" a second time: drop one of them',
    ),
    "duplicate list": (
        GOOD + "hosts:\n" + ENTRY,
        'inventory FILE line 4 has the key "hosts" a second time: drop one of them',
    ),
    "duplicate label": (
        GOOD + "    labels: {zone: eu, zone: us}\n",
        'inventory FILE line 4 has the key "zone" a second time: drop one of them',
    ),
    "unknown key": (
        GOOD + "    tokenfile: /t\n",
        (
            'inventory entry 1 has the unknown key "tokenfile"; '
            "known: name, url, verify, ca_file, cert_file, key_file, token_file, server_name, shows_after, "
            "labels, health, auth, serves, max_writes_at_once, writes_per_second"
        ),
    ),
    "NUL": (with_url("http://node1:1") + "#\0\n", None),
    "no text": (b"\xff\xfe\x00", "inventory FILE is no UTF-8 text: invalid start byte"),
}


@pytest.fixture
def file(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hosts.yaml"
    monkeypatch.delenv("LOCKSTEP_HOSTS")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCKSTEP_INVENTORY", path.name)
    return path


@pytest.fixture
def keys(environment: dict[str, str]) -> Iterator[Callable[[], list[str]]]:
    """Every key of this test, however bad its inventory is."""
    with redis.Redis.from_url(environment["LOCKSTEP_REDIS_URL"], decode_responses=True) as client:
        yield lambda: sorted(client.scan_iter(f"{environment['LOCKSTEP_KEY_PREFIX']}*"))


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_inventory_is_refused_in_one_line(
    lockstep: Run, keys: Callable[[], list[str]], file: Path, content: str | bytes, message: str | None
) -> None:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    for arguments in (("create", "team-a"), ("delete", "team-a", "--no-wait"), ("plan", "create", "team-a")):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert len(ran.err.splitlines()) == 1
        if message is None:
            assert ran.err.startswith('lockstep: error: inventory "hosts.yaml" is not plain YAML: ')
        else:
            said = message.replace("FILE", '"hosts.yaml"')
            assert ran.err == f"lockstep: error: {said}\n"
    assert keys() == []


def test_an_inventory_that_is_not_there(lockstep: Run, keys: Callable[[], list[str]], file: Path) -> None:
    ran = lockstep("create", "team-a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == ('lockstep: error: inventory "hosts.yaml" cannot be read: No such file or directory\n')
    assert keys() == []


@pytest.mark.parametrize(
    "raw",
    [
        (GOOD + ENTRY).encode("utf-8-sig"),
        (GOOD + ENTRY).replace("\n", "\r\n").encode(),
        (GOOD + ENTRY).replace("\n", "\r\n").encode("utf-8-sig"),
    ],
    ids=["BOM", "CRLF", "both"],
)
def test_a_byte_order_mark_and_windows_line_ends_are_accepted(lockstep: Run, file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    ran = lockstep("create", "team-a", "--no-wait", "--json")
    assert ran.code == 0
    assert [host["host"] for host in json.loads(ran.out)["hosts"]] == ["node1", "node2"]


def test_ten_thousand_hosts_are_accepted(lockstep: Run, file: Path) -> None:
    hosts = (f"- {{name: node{n}, url: 'http://node{n}:1', labels: {{zone: eu}}}}\n" for n in range(10_000))
    file.write_text("".join(hosts))
    ran = lockstep("create", "team-a", "--hosts", "node0,node9999", "--no-wait", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert [host["host"] for host in json.loads(ran.out)["hosts"]] == ["node0", "node9999"]


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("", "the inventory is empty: set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY"),
        (
            "http://a:1,,http://b:1",
            'LOCKSTEP_HOSTS="http://a:1,,http://b:1" has an empty element: drop the extra comma',
        ),
        ("http://a,http://A.:80/", 'url "http://a:80" stands twice in LOCKSTEP_HOSTS: name each host once'),
        ("a:1", f'url "a:1" {SCHEME}'),
        ("http://ann:sesame@a", 'url of "a" has a user or password in it: use token_file'),
    ],
)
def test_bad_quick_start_hosts(
    lockstep: Run, hand: Hand, monkeypatch: pytest.MonkeyPatch, hosts: str, message: str
) -> None:
    monkeypatch.setenv("LOCKSTEP_HOSTS", hosts)
    ran = lockstep("create", "team-a")
    assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {message}\n")
    assert hand.keys() == []
