"""Bad input: the exact message, in Python and in the shell, and nothing written."""

from __future__ import annotations

from typing import Any

import pytest

from lockstep import ClusterClient, InvalidInput
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand

ALPHABET = "has a character outside A-Z a-z 0-9 . _ -: use only those"
EMPTY = "is empty: give 1 to 128 characters of A-Z a-z 0-9 . _ -"
SEGMENT = "is a path segment that URLs resolve away: choose another name"
KNOWN = "is not in the inventory; known: node1, node2, node3"

NAMES: dict[str, str] = {
    "": f'"" {EMPTY}',
    "   ": f'"   " {EMPTY}',
    "\t\n": f'"\\t\\n" {EMPTY}',
    "x" * 10_240: f'"{"x" * 59}… (10242 characters) is too long: at most 128 characters',
    "x" * 129: f'"{"x" * 59}… (131 characters) is too long: at most 128 characters',
    "../x": f'"../x" {ALPHABET}',
    "a/b": f'"a/b" {ALPHABET}',
    "%2f": f'"%2f" {ALPHABET}',
    "a?b": f'"a?b" {ALPHABET}',
    "a#b": f'"a#b" {ALPHABET}',
    "a b": f'"a b" {ALPHABET}',
    "a\r\nb": f'"a\\r\\nb" {ALPHABET}',
    "team\n": f'"team\\n" {ALPHABET}',
    "a\0b": f'"a\\x00b" {ALPHABET}',
    "a\udcffb": f'"a\\udcffb" {ALPHABET}',
    "\ud800": f'"\\ud800" {ALPHABET}',
    "a\rb": f'"a\\rb" {ALPHABET}',
    "a\nb": f'"a\\nb" {ALPHABET}',
    "\0": f'"\\x00" {ALPHABET}',
    "%2F": f'"%2F" {ALPHABET}',
    "?": f'"?" {ALPHABET}',
    "#": f'"#" {ALPHABET}',
    "cafe\u0301": f'"cafe\\u0301" {ALPHABET}',
    "caf\u00e9": f'"caf\\xe9" {ALPHABET}',
    "grüppe": f'"gr\\xfcppe" {ALPHABET}',
    "١٢": f'"\\u0661\\u0662" {ALPHABET}',
    ".": f'"." {SEGMENT}',
    "..": f'".." {SEGMENT}',
}
NO_STRINGS: dict[str, tuple[Any, str]] = {
    "int": (7, "7 is of type int: it must be a string"),
    "bool": (True, "True is of type bool: it must be a string"),
    "list": (["a"], "['a'] is of type list: it must be a string"),
    "bytes": (b"a", "b'a' is of type bytes: it must be a string"),
    "dict": ({}, "{} is of type dict: it must be a string"),
    "float": (1.5, "1.5 is of type float: it must be a string"),
}
NO_GROUPS = {**NO_STRINGS, "none": (None, "None is of type NoneType: it must be a string")}


@pytest.mark.parametrize("call", ["create_group", "delete_group", "group_exists"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_bad_group_id_is_refused_in_python(
    cluster: ClusterClient, hand: Hand, call: str, name: str
) -> None:
    arguments = ["node1", name] if call == "group_exists" else [name]
    with pytest.raises(InvalidInput) as caught:
        getattr(cluster, call)(*arguments)
    assert str(caught.value) == f"group id {NAMES[name]}"
    assert hand.keys() == []


@pytest.mark.parametrize(("value", "message"), NO_GROUPS.values(), ids=NO_GROUPS)
def test_a_group_id_that_is_no_string_is_refused(
    cluster: ClusterClient, hand: Hand, value: Any, message: str
) -> None:
    for call in (
        cluster.create_group,
        cluster.delete_group,
        lambda group: cluster.group_exists("node1", group),
        lambda group: cluster.plan("create", group),
        lambda group: cluster.drift([group]),
    ):
        with pytest.raises(InvalidInput) as caught:
            call(value)
        assert str(caught.value) == f"group id {message}"
    assert hand.keys() == []


KINDS = (
    "consul-key, etcd-key, group, influxdb-database, powerdns-record, powerdns-zone, rabbitmq-permission, "
    "rabbitmq-policy, rabbitmq-user, rabbitmq-vhost, vault-policy"
)
NO_KINDS = {
    "../x": f'kind ".." is not known; known: {KINDS}; a group id has no slash, and "../x" has one',
    "a/b": f'kind "a" is not known; known: {KINDS}; a group id has no slash, and "a/b" has one',
}
"""What the shell says where a slash follows what would be the name of a kind."""
COMMANDS = {
    "create": ("create",),
    "delete": ("delete",),
    "exists": ("exists", "node1"),
    "plan": ("plan", "create"),
    "drift": ("drift",),
    "repair": ("repair", "--to", "present"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_bad_group_id_is_refused_in_the_shell(lockstep: Run, hand: Hand, command: str, name: str) -> None:
    ran = lockstep(*COMMANDS[command], name)

    message = NO_KINDS.get(name, f"group id {NAMES[name]}")
    assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {message}\n")
    assert hand.keys() == []


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_bad_operation_id_is_refused(cluster: ClusterClient, hand: Hand, lockstep: Run, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cluster.create_group("team-a", operation_id=name)
    assert str(caught.value) == f"operation id {NAMES[name]}"
    with pytest.raises(InvalidInput) as caught:
        cluster.operation(name)
    assert str(caught.value) == f"operation id {NAMES[name]}"
    for arguments in (["create", "team-a", "--id", name], ["status", name], ["cancel", name]):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: operation id {NAMES[name]}\n")
    assert hand.keys() == []


@pytest.mark.parametrize(("value", "message"), NO_STRINGS.values(), ids=NO_STRINGS)
def test_an_operation_id_that_is_no_string_is_refused(
    cluster: ClusterClient, hand: Hand, value: Any, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        cluster.create_group("team-a", operation_id=value)
    assert str(caught.value) == f"operation id {message}"
    assert hand.keys() == []


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ([], "the list of hosts is empty: name at least one, or leave it out for all"),
        (["node9"], f'host "node9" {KNOWN}'),
        (["node1", "NODE1"], f'host "NODE1" {KNOWN}'),
        (["node1", ""], f'host "" {KNOWN}'),
        ([1], f"host 1 {KNOWN}"),
        ([["node1"]], f"host ['node1'] {KNOWN}"),
        ("node1", 'hosts "node1" is a string: give a list of host names'),
        (7, "hosts 7 is of type int: give a list of names"),
    ],
)
def test_bad_hosts_are_refused_in_python(
    cluster: ClusterClient, hand: Hand, hosts: Any, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        cluster.create_group("team-a", hosts)
    assert str(caught.value) == message
    assert hand.keys() == []


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("", "the list of hosts is empty: name at least one, or leave it out for all"),
        ("  ", "the list of hosts is empty: name at least one, or leave it out for all"),
        ("node1,node9", f'host "node9" {KNOWN}'),
        ("node1,,node2", f'host "" {KNOWN}'),
        ("http://node1:1", f'host "http://node1:1" {KNOWN}'),
    ],
)
def test_bad_hosts_are_refused_in_the_shell(lockstep: Run, hand: Hand, hosts: str, message: str) -> None:
    ran = lockstep("create", "team-a", "--hosts", hosts)

    assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {message}\n")
    assert hand.keys() == []


def test_hosts_are_asked_about_by_their_names(cluster: ClusterClient, lockstep: Run) -> None:
    with pytest.raises(InvalidInput) as caught:
        cluster.group_exists("node9", "team-a")
    assert str(caught.value) == f'host "node9" {KNOWN}'
    assert lockstep("exists", "node9", "team-a").code == 2


RANGE = "is out of range: give a number of seconds above 0"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, f"0 {RANGE}"),
        (-1, f"-1 {RANGE}"),
        (float("nan"), f"nan {RANGE}"),
        (float("inf"), f"inf {RANGE}"),
        (86_401, "86401 is too long: at most 86400 s, LOCKSTEP_RESULT_EXPIRES"),
        ("60", '"60" is of type str: give seconds from now'),
        (True, "True is of type bool: give seconds from now"),
    ],
)
def test_a_bad_deadline_is_refused(cluster: ClusterClient, hand: Hand, value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cluster.create_group("team-a", deadline=value)
    assert str(caught.value) == f"deadline {message}"
    assert hand.keys() == []


def test_a_bad_deadline_is_refused_in_the_shell(lockstep: Run, hand: Hand) -> None:
    for command in ("create", "delete"):
        for value in ("0", "-1", "-0.5", "nan", "inf", "-inf"):
            ran = lockstep(command, "team-a", f"--deadline={value}")
            said = f"lockstep: error: deadline {float(value)} {RANGE}\n"
            assert (ran.code, ran.out, ran.err) == (2, "", said)
        ran = lockstep(command, "team-a", "--deadline=soon")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == (
            "lockstep: error: Invalid value for '--deadline': 'soon' is not a valid float; "
            f"see `lockstep {command} --help`\n"
        )
    assert hand.keys() == []


def test_a_bad_timeout_is_refused_before_anything_is_written(lockstep: Run, hand: Hand) -> None:
    ran = lockstep("create", "team-a", "--timeout=-1")

    rule = "is out of range: give 0 or more seconds, or leave it out to wait for ever"
    assert (ran.code, ran.err) == (2, f"lockstep: error: timeout -1.0 {rule}\n")
    assert hand.keys() == []


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb", "a\x1b[2Jb", "a\udcffb", 7])
def test_a_bad_name_of_who_asks_is_refused(cluster: ClusterClient, hand: Hand, name: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^created_by "):
        ClusterClient(cluster.settings, created_by=name)
    operation = cluster.create_group("team-a")
    with pytest.raises(InvalidInput, match=r"^reason "):
        operation.cancel(name)
    assert operation.status().decision is None


def test_an_empty_inventory_is_refused(lockstep: Run, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCKSTEP_HOSTS")

    ran = lockstep("create", "team-a")

    message = "the inventory is empty: set LOCKSTEP_HOSTS or LOCKSTEP_INVENTORY"
    assert (ran.code, ran.err) == (2, f"lockstep: error: {message}\n")
    assert hand.keys() == []


def test_a_misspelled_setting_is_refused(lockstep: Run, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_REDISURL", "redis://elsewhere")
    for arguments in (["list"], ["create", "team-a"]):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == (
            "lockstep: error: unknown setting LOCKSTEP_REDISURL; did you mean LOCKSTEP_REDIS_URL?\n"
        )
    assert hand.keys() == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"CALL_TIMEOUT": "60", "VISIBILITY_TIMEOUT": "100"},
            (
                "settings contradict each other: visibility_timeout 100 must be at least 269 = "
                "4 * call_timeout + 21 (the chord's dispatch lease) + backoff_cap"
            ),
        ),
        (
            {"SETTLE_SECONDS": "9"},
            "settings contradict each other: settle_seconds must be at least read_timeout",
        ),
        (
            {"INVENTORY": "hosts.yaml"},
            "settings contradict each other: give hosts or inventory, not both",
        ),
        (
            {"SETTLE_SECONDS": "nan"},
            'LOCKSTEP_SETTLE_SECONDS="nan": it must be a number above 0',
        ),
        ({"CONCURRENCY": "0"}, 'LOCKSTEP_CONCURRENCY="0": it must be a whole number above 0'),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    lockstep: Run, hand: Hand, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"LOCKSTEP_{name}", value)
    for arguments in (["list"], ["create", "team-a"]):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out, ran.err) == (2, "", f"lockstep: error: {message}\n")
    assert hand.keys() == []
