"""The users of docs/redis-users.acl: each role can do its work, no more is granted, and attacks fail."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
import redis
from redis.exceptions import ResponseError

from lockstep.producer.stack.guard import Guard
from tests.integration.redis_servers.full_run import full_run
from tests.integration.redis_servers.recorder import Recorder, Use
from tests.integration.redis_servers.rules import Grant, grants_in, grants_of, line_of
from tests.integration.redis_servers.servers import Guarded
from tests.integration.worker.harness import ROOT
from tests.warm import WarmCluster, run

pytestmark = pytest.mark.timeout(400)
RULES = (ROOT / "docs" / "redis-users.acl").read_text("utf-8")
ROLES = ("worker", "producer", "monitor")
CLIENTS = ("producer", "monitor")
QUEUE = "lockstep:celery:operations"
DENIED = r"(?i)no permissions|^the user executing the script can't"
"""The second is what Redis 7.0 says of a command in a script."""
OURS = "user lockstep-narrow on >NARROW-PASSWORD ~lockstep:* &lockstep:* +@all -@write\n"
"""One who may run scripts, and nothing that they do."""
RESULTS, CHORDS = "lockstep:celery:celery-task-meta-*", "~lockstep:celery:celery-taskset-meta-*"
LINES = "~lockstep:limit:*"
"""Who waits for a limited host: the nodes of the full run are not limited."""
CALLS = {(each, LINES) for each in ("pexpire", "zadd", "zcard", "zrange", "zrank", "zrem")}
SELDOM: dict[str, set[Grant]] = {
    "worker": {
        *CALLS,
        *((each, LINES) for each in ("get", "set", "zcount", "zremrangebyscore", "zscore")),
        *((each, "~lockstep:limits") for each in ("hget", "hset")),
        ("zscore", "~lockstep:op:*"),  # where an operation made no progress for long
        # The result of a task that somebody sends by hand, and wants one.
        *(("get", f"~{RESULTS}"), ("setex", f"~{RESULTS}"), ("publish", f"&{RESULTS}")),
        # Chords of which a header failed unforeseen, or the callback was claimed by a worker that died.
        *(("exists", CHORDS), ("incr", CHORDS)),
        # Given back by a worker that had taken it; said where nothing has changed while it was watched.
        *(("rpush", f"~{QUEUE}"), ("rpush", "~lockstep:celery:rollback"), ("unwatch", "")),
    },
    "monitor": {
        *((each, LINES) for each in ("zcard", "zrank")),
        ("hgetall", "~lockstep:left:*"),  # where the record of an operation on a thing is gone
    },
    "producer": {
        *CALLS,
        ("hget", "~lockstep:limits"),
        # Of the one script that is not sent whole, where Redis has forgotten it and no patrol came before.
        ("script|load", ""),
        # Where no worker was the first to see that a record is gone.
        ("pexpire", "~lockstep:lost"),
        # A cancel that ends an operation on a thing at once, before any host was asked.
        *((each, "~lockstep:left:*") for each in ("hdel", "hgetall", "hset")),
        ("hdel", "~lockstep:op:*"),
    },
}
"""What a role does in few runs, by what Celery and kombu say of themselves."""
DOCTOR: Grant = ("config|get", "")
"""Tried by doctor, which says that it is refused: it would show more than the setting that is asked for."""
READS = {
    *("get", "pttl", "exists", "type", "memory|usage", "llen", "brpop", "watch", "subscribe", "psubscribe"),
    *("hget", "hgetall", "hkeys", "hlen", "hmget", "scard", "sismember", "smembers"),
    *("zcard", "zcount", "zrange", "zrangebyscore", "zrank"),
    *("zrevrange", "zrevrangebyscore", "zscan", "zscore"),
}


class Ran(NamedTuple):
    """What each role used in a full run, and what was denied to whom."""

    uses: dict[str, set[Use]]
    read_by_workers: set[str]
    denied: set[tuple[str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with these users and none besides, but those of this test."""
    directory = tmp_path_factory.mktemp("users")
    file = directory / "users.acl"
    file.write_text(RULES + OURS)
    with Guarded(directory, file) as running:
        yield running


@pytest.fixture(scope="module")
def ran(server: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Everything that each role does, recorded."""
    folder = tmp_path_factory.mktemp("run")
    with server.client("admin") as admin, closing(Guard()) as guard:
        admin.config_set("acllog-max-len", 1000)
        cluster = WarmCluster(folder, 3, guard=guard)
        cluster.start()
        with closing(Recorder(server, ROLES)) as recorder:
            full_run(recorder, server, cluster, guard, folder)
            uses = recorder.finish()
        denied = {(entry["username"], entry["object"]) for entry in admin.acl_log(count=1000)}
        admin.acl_log_reset()
    read = {pattern for command, pattern in grants_of(uses["worker"]) if command in READS}
    uses["worker"] |= uses["producer"]  # `lockstep` is typed in the containers of workers
    return Ran(uses, read, denied)


def test_a_full_run_is_denied_nothing(ran: Ran) -> None:
    # doctor says what it could not read
    assert ran.denied == {("lockstep-producer", "config|get"), ("lockstep-monitor", "config|get")}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_does_and_no_more(ran: Ran, role: str) -> None:
    uses = {use for use in ran.uses[role] if use[0] != DOCTOR[0]}
    used, granted, seldom = grants_of(uses), grants_in(RULES, role), SELDOM.get(role, set())
    right = line_of(role, uses, seldom)
    assert used <= granted, (used - granted, right)
    assert granted - used <= seldom, (granted - used - seldom, right)


def test_what_the_producer_may_do_with_a_queue_is_add_to_it() -> None:
    granted = grants_in(RULES, "producer")
    assert {command for command, pattern in granted if pattern == f"~{QUEUE}"} == {"llen", "lpush"}
    setting = {pattern for command, pattern in granted if command in ("set", "eval", "evalsha", "pexpire")}
    assert not [each for each in setting if "unacked" in each or "lease" in each or QUEUE in each]


def test_the_monitor_writes_to_nothing_that_a_worker_reads(ran: Ran) -> None:
    written = {pattern for command, pattern in grants_in(RULES, "monitor") if command not in READS} - {""}
    # Questions, on which workers decide by themselves; the rest can only be removed, and is Flower's own.
    assert written == {
        "&lockstep:celery:/0.celery.pidbox",
        "~lockstep:celery:celeryev.*",
        "~lockstep:celery:_kombu.binding*.celeryev",
    }
    assert written & ran.read_by_workers == {"&lockstep:celery:/0.celery.pidbox"}


@pytest.mark.parametrize(
    ("roles", "command"),
    [
        (ROLES, "FLUSHALL"),
        (ROLES, "FUNCTION LOAD '#!lua name=x\nredis.register_function(\"x\", function() end)'"),
        (ROLES, "FUNCTION FLUSH"),
        (ROLES, "SCRIPT KILL"),
        (ROLES, "FLUSHDB"),
        (ROLES, "KEYS *"),
        (ROLES, "CONFIG SET appendfsync no"),
        (ROLES, "CONFIG GET requirepass"),
        (ROLES, "SHUTDOWN NOSAVE"),
        (ROLES, "REPLICAOF NO ONE"),
        (ROLES, "ACL SETUSER x on nopass ~* +@all"),
        (ROLES, "SCRIPT FLUSH"),
        (ROLES, "CLIENT KILL TYPE normal"),
        (ROLES, "MONITOR"),
        (ROLES, "GET elsewhere"),
        (ROLES, "SET elsewhere 1"),
        (ROLES, "SUBSCRIBE elsewhere"),
        (ROLES, 'EVAL \'return redis.call("SET","elsewhere",1)\' 0'),
        (CLIENTS, f"BRPOP {QUEUE} 1"),
        (CLIENTS, f"RPOP {QUEUE}"),
        (CLIENTS, f"DEL {QUEUE}"),
        *((CLIENTS, f"{what} {QUEUE} x") for what in ("SET", "RPUSH", "APPEND")),
        *((CLIENTS, f"{what} {QUEUE}:3 x") for what in ("SET", "LPUSH")),
        *((CLIENTS, f"{what} lockstep:celery:unacked x") for what in ("SET", "HDEL", "DEL")),
        (CLIENTS, "SET lockstep:lease:sweep 1 EX 9999999"),
        (CLIENTS, f"LMOVE {QUEUE} lockstep:celery:rollback LEFT LEFT"),
        (CLIENTS, f"EVAL 'return redis.call(\"SET\",KEYS[1],1)' 1 {QUEUE}"),
        (CLIENTS, "SADD lockstep:celery:_kombu.binding.operations x"),
        (("producer",), "SET lockstep:due x"),
        (("producer",), "DEL lockstep:paused"),
        *((("monitor",), f"{what} lockstep:celery:mine x") for what in ("LPUSH", "SET", "SADD", "PFADD")),
        (("monitor",), "SCRIPT LOAD 'return 1'"),
        (("monitor",), "EVAL 'return 1' 0"),
        (("monitor",), "PUBLISH lockstep:events:x ended"),
        (("monitor",), "PUBLISH lockstep:celery:/0.celeryev/worker.online x"),
        (("monitor",), f"LPUSH {QUEUE} x"),
        (("monitor",), "DEL lockstep:lock:team-a"),
        (("monitor",), "HSET lockstep:op:x state committed"),
        (("monitor",), 'EVAL \'return redis.call("DEL","lockstep:lock:team-a")\' 0'),
        (("monitor",), "EVAL 'return redis.call(\"DEL\",KEYS[1])' 1 lockstep:celery:operations"),
    ],
)
def test_each_role_is_refused_what_it_does_not_use(
    server: Guarded, roles: tuple[str, ...], command: str
) -> None:
    for role in roles:
        with server.client(role) as client, pytest.raises(ResponseError, match=DENIED):
            client.execute_command(*shlex.split(command))
    with server.client("admin") as admin:
        admin.acl_log_reset()


def test_without_a_name_nobody_is_let_in(server: Guarded) -> None:
    with redis.Redis.from_url(server.url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("role", ["monitor", "narrow"])
def test_who_may_not_is_told_in_one_line(server: Guarded, role: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
    env = {**clean, "LOCKSTEP_REDIS_URL": server.as_user(role), "LOCKSTEP_HOSTS": "http://127.0.0.1:9"}
    ran = run("lockstep", "create", "team-denied", env=env)
    assert ran.returncode == 5, ran
    assert ran.stderr.startswith("lockstep: error: Redis does not permit this user ")
    assert ran.stderr.count("\n") == 1
    with server.client("admin") as admin:
        assert not list(admin.scan_iter(match="*team-denied*"))
        admin.acl_log_reset()
