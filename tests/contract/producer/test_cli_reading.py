"""Commands that read, their JSON, and a Redis that cannot be used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis

from lockstep import ClusterClient, RecordGone, StoreUnavailable
from lockstep.producer.stack.processes import RedisServer
from tests.contract.producer.conftest import Run
from tests.contract.producer.hand import Hand

OPERATION_FIELDS = {
    "id", "group", "action", "verb", "state", "committed", "settling", "ended", "reason", "hosts_total",
    "hosts_done", "pending_hosts", "stalled_hosts", "created_by", "created_at", "deadline_at", "decided_at",
    "ended_at",
}  # fmt: skip
HOST_FIELDS = {
    "host", "before", "outcome", "undo", "attempts", "reason", "due_at", "lost_fields",
    "story", "changed", "changed_by", "changed_after_decision", "undone_by",
}  # fmt: skip
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LOCAL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z0-9+-]+")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "nope"), ("cancel", "nope"), ("show", "nope"), ("watch", "nope"),
        ("report", "nope", "--html", "nope.html"), ("abandon", "nope", "node1", "--reason", "scrapped"),
    ],
    ids=lambda each: each[0],
)  # fmt: skip
def test_an_unknown_operation_is_named_with_what_may_be_wrong(
    lockstep: Run, hand: Hand, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = lockstep(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        'lockstep: error: operation id "nope" is unknown: '
        "no operation has it, its record was dropped with age, or Redis has lost its data; "
        f"see {RecordGone.page}\n"
    )
    assert hand.keys() == []
    assert list(tmp_path.iterdir()) == []


def test_status_shows_every_host(lockstep: Run, cluster: ClusterClient, hand: Hand) -> None:
    operation = cluster.create_group("team-a", operation_id="mine")
    hand.apply(operation, hand.hosts[0])
    hand.already(operation, hand.hosts[1])
    hand.lose(operation, hand.hosts[2])
    hand.roll_back(operation)
    hand.stall(operation, hand.hosts[0])

    ran = lockstep("status", "mine")

    assert ran.code == 0
    text = re.sub("just now|[0-9]+ s ago", "<age>", LOCAL.sub("<time>", ran.out))
    assert text == (
        "operation  mine\n"
        "create     team-a\n"
        "state      rolling_back\n"
        "reason     node3: connection refused\n"
        "hosts      3/3\n"
        "pending    node1\n"
        "by         alice@desk\n"
        "created    <time>, <age>\n"
        "decided    <time>, <age>\n"
        "\n"
        "HOST   BEFORE   WHAT HAPPENED                                           WRITES  NOTE\n"
        "node1  absent   changed by its write before the decision, to be undone  1       "
        "connection refused; again at <time>\n"
        "node2  present  not changed: it was present before                      0       -\n"
        "node3  -        not changed: nothing was sent                           0       connection refused\n"
    )


def test_list_shows_the_newest_first(lockstep: Run, cluster: ClusterClient, hand: Hand) -> None:
    hand.commit(cluster.create_group("team-a", operation_id="first"))
    cluster.delete_group("team-a", operation_id="second")

    ran = lockstep("list")

    assert ran.code == 0
    header, *rows = ran.out.splitlines()
    assert header.split() == ["OPERATION", "ACTION", "GROUP", "STATE", "HOSTS", "CREATED", "BY"]
    assert [row.split()[:5] for row in rows] == [
        ["second", "delete", "team-a", "applying", "0/3"],
        ["first", "create", "team-a", "committed", "3/3"],
    ]
    assert len(lockstep("list", "--limit", "1").out.splitlines()) == 2
    assert lockstep("list", "--limit", "0").code == 2


def test_a_list_of_nothing_says_so(lockstep: Run) -> None:
    assert lockstep("list").out == "no operations\n"
    assert json.loads(lockstep("list", "--json").out) == {"operations": [], "damaged": []}


@pytest.mark.parametrize("command", ["create", "delete", "status", "cancel", "list"])
def test_json_has_the_documented_fields(
    lockstep: Run, cluster: ClusterClient, hand: Hand, command: str
) -> None:
    cluster.create_group("team-a", operation_id="mine")
    arguments = {
        "create": ("create", "team-b", "--no-wait"),
        "delete": ("delete", "team-b", "--no-wait"),
        "list": ("list",),
    }.get(command, (command, "mine"))

    ran = lockstep(*arguments, "--json")

    document = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    if command == "list":
        (document,) = document["operations"]
        assert set(document) == OPERATION_FIELDS
    else:
        assert set(document) == OPERATION_FIELDS | {"hosts"}
        assert [set(host) for host in document["hosts"]] == [HOST_FIELDS] * 3
    assert MOMENT.fullmatch(document["created_at"])
    assert document["ended"] is (command == "cancel")


def test_redis_that_cannot_be_reached(lockstep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "redis://127.0.0.1:1/0")
    for arguments in (["create", "team-a"], ["status", "mine"]):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out) == (5, "")
        assert ran.err == (
            "lockstep: error: Redis does not answer: Error 111 connecting to 127.0.0.1:1. Connection refused"
            f"; LOCKSTEP_REDIS_URL names the server, `make up` starts one; see {StoreUnavailable.page}\n"
        )


LOGIN = (
    "Redis refuses the login: it has no such user, the user is off, or the password is wrong; "
    "see the name and the password in LOCKSTEP_REDIS_URL, and `ACL LIST` on the server"
)
NO_PASSWORD = (
    "Redis asks for a password, and the URL has none; LOCKSTEP_REDIS_URL=redis://NAME:PASSWORD@HOST:PORT/0"
)


@pytest.mark.parametrize(
    ("login", "said"),
    [(":wrong@", LOGIN), ("bob:right@", LOGIN), ("", NO_PASSWORD)],
    ids=["wrong password", "unknown user", "no password"],
)
def test_a_login_that_redis_refuses(
    lockstep: Run, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, login: str, said: str
) -> None:
    redis.Redis.from_url(own_redis.url).config_set("requirepass", "right")
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", own_redis.url.replace("//", f"//{login}"))
    for arguments in (["create", "team-a"], ["list"]):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out) == (5, "")
        assert ran.err == f"lockstep: error: {said}; see {StoreUnavailable.page}\n"
    with redis.Redis.from_url(own_redis.url.replace("//", "//:right@")) as client:
        assert client.dbsize() == 0


def test_a_database_that_redis_does_not_have(
    lockstep: Run, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", own_redis.url.replace("/0", "/99"))
    for arguments in (["create", "team-a"], ["list"]):
        ran = lockstep(*arguments)
        assert (ran.code, ran.out) == (5, "")
        assert ran.err == (
            "lockstep: error: Redis has no database of this number; LOCKSTEP_REDIS_URL ends with it "
            f"(redis://HOST:PORT/0): see `CONFIG GET databases` on the server; see {StoreUnavailable.page}\n"
        )
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("database", ["zero", "-1", "0/1"])
def test_a_database_that_is_no_number(
    lockstep: Run, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """redis-py would take the first database in its place."""
    url = own_redis.url.removesuffix("0") + database
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", url)
    ran = lockstep("create", "team-a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("lockstep: error: LOCKSTEP_REDIS_URL=")
    assert ": what follows the host is the number of a database, as in redis://HOST/3; " in ran.err
    assert ran.err.count("\n") == 1
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.dbsize() == 0


def test_a_malformed_url_is_bad_usage(lockstep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_URL", "http://127.0.0.1:6379")
    ran = lockstep("list")
    assert ran.code == 2
    assert ran.err.startswith('lockstep: error: LOCKSTEP_REDIS_URL="http://127.0.0.1:6379": ')
    assert len(ran.err.splitlines()) == 1


def test_an_id_that_somebody_else_gave_is_refused(lockstep: Run, environment: dict[str, str]) -> None:
    first = ("create", "team-a", "--no-wait", "--id", "ticket-1")
    assert lockstep(*first, "--as", "alice").code == 0
    assert lockstep(*first, "--as", "alice").code == 0
    ran = lockstep(*first, "--as", "bob")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        'lockstep: error: operation id "ticket-1" was given by alice: choose a new id, or say with --as '
        "(created_by) that you are the one who gave it\n"
    )
