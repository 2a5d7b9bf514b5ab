"""What Redis, redis-py and kombu say reaches people as one line: what is wrong, and what mends it."""

from __future__ import annotations

import re

import pytest
import redis
from kombu.exceptions import OperationalError
from redis import exceptions

from lockstep.worker.connection.primary import WrongServer
from lockstep.worker.operation.errors import (
    LockstepError,
    RecordDamaged,
    StoreFull,
    StoreUnavailable,
    UnknownFormat,
)
from lockstep.worker.record.causes import CAUSES, cause_of, store_errors, unavailable

IN_A_SCRIPT = " script: 9f3c0f5c, on @user_script:154."
NO_USER = "the user is off"
TABLE: list[tuple[Exception, str, str]] = [
    # From Valkey 8 and Redis 6.2 to 7.4 by way of redis-py 8.1, which cuts off the code before the text.
    (
        exceptions.OutOfMemoryError(f"command not allowed when used memory > 'maxmemory'.{IN_A_SCRIPT}"),
        "Redis is at its memory limit",
        "raise maxmemory",
    ),
    (
        redis.ResponseError(
            "Error running script (call to f_9f): @user_script:7: @user_script: 7: -OOM command not allowed "
            "when used memory > 'maxmemory'."
        ),
        "Redis is at its memory limit",
        "raise maxmemory",
    ),
    (
        redis.ReadOnlyError(f"You can't write against a read only replica.{IN_A_SCRIPT}"),
        "read-only replica",
        "give the primary",
    ),
    (WrongServer("Redis at h:1 cannot be used: it is a replica"), "read-only replica", "give the primary"),
    (WrongServer("Redis at h:1 cannot be used: it is a Sentinel"), "is a Sentinel", "?master=NAME"),
    (WrongServer("Redis at h:1 cannot be used: it runs in cluster mode"), "cluster mode", "or Sentinels"),
    (
        WrongServer("Redis at h:1 cannot be used: it is version 6.0.16, older than 6.2"),
        "too old here: version 6.0.16",
        "Redis 6.2 or newer",
    ),
    (
        WrongServer("Redis at h:1 cannot be used: ResponseError: NOPROTO unsupported protocol version"),
        "does not speak RESP3",
        "no proxy for older protocols",
    ),
    (
        exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        "has lost its primary",
        "give the primary",
    ),
    (
        redis.AuthenticationError("invalid username-password pair or user is disabled."),
        NO_USER,
        "the name and the password in LOCKSTEP_REDIS_URL",
    ),
    (
        redis.AuthenticationError(
            "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
            "<user> <pass> option can be used to authenticate the client and select the RESP protocol "
        ),
        "asks for a password, and the URL has none",
        "redis://NAME:PASSWORD@",
    ),
    (
        redis.AuthenticationError("AUTH <password> called without any password configured for"),
        "the URL has a password, and the server has none",
        "leave the password out",
    ),
    (
        exceptions.NoPermissionError("User eve has no permissions to run the 'set' command"),
        "does not permit this user the command set",
        "docs/redis-users.acl",
    ),
    (
        redis.ResponseError(
            f"ACL failure in script: User eve has no permissions to run the 'hset' command{IN_A_SCRIPT}"
        ),
        "does not permit this user the command hset",
        "docs/redis-users.acl",
    ),
    (
        redis.ResponseError(f"ACL failure in script: No permissions to access a key{IN_A_SCRIPT}"),
        "does not permit this user",
        "LOCKSTEP_KEY_PREFIX",
    ),
    *(
        (
            exceptions.NoPermissionError(
                f"this user has no permissions to access one of the {what} used as arguments"
            ),
            "does not permit this user",
            "LOCKSTEP_KEY_PREFIX",
        )
        for what in ("keys", "channels")  # Redis 6.2 and 7.0
    ),
    (
        redis.ResponseError(
            f"The user executing the script can't run this command or subcommand{IN_A_SCRIPT}"
        ),
        "does not permit this user",
        "docs/redis-users.acl",
    ),
    (
        exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        "still reads its file",
        "nothing is to be done",
    ),
    (
        redis.ConnectionError("Error 24 connecting to 10.0.0.7:6379. Too many open files."),
        "Redis cannot be asked: Too many open files in this process",
        "ulimit -n",
    ),
    (
        OSError(24, "Too many open files", "redis-8.1.0.dist-info/METADATA"),
        "Redis cannot be asked: Too many open files in this process",
        "ulimit -n",
    ),
    (
        redis.ConnectionError("Error 111 connecting to 10.0.0.7:6379. Connection refused."),
        "Redis does not answer: Error 111 connecting to 10.0.0.7:6379. Connection refused",
        "LOCKSTEP_REDIS_URL names the server",
    ),
    (
        redis.TimeoutError("Timeout reading from socket"),
        "Redis does not answer: Timeout, something accepted the connection",
        "is it a Redis? See host and port in LOCKSTEP_REDIS_URL",
    ),
    (redis.ConnectionError(""), "Redis does not answer: ConnectionError", "LOCKSTEP_REDIS_URL"),
    (
        redis.ResponseError(f"NOREPLICAS Not enough good replicas to write.{IN_A_SCRIPT}"),
        "too few of its replicas",
        "start them",
    ),
    (redis.ResponseError("DB index is out of range"), "no database of this number", "CONFIG GET databases"),
    (exceptions.MovedError("3999 127.0.0.1:6381"), "cluster mode", "cluster-enabled"),
    (exceptions.ClusterDownError("Hash slot not served"), "cluster mode", "cluster-enabled"),
    (
        exceptions.ClusterCrossSlotError("Keys in request don't hash to the same slot"),
        "cluster mode",
        "cluster-enabled",
    ),
    (exceptions.InvalidResponse('Protocol error, got "H" as reply type byte'), "no Redis", "rediss://"),
    (
        redis.ConnectionError(
            "Error 1 connecting to 127.0.0.1:6379. [SSL: WRONG_VERSION_NUMBER] wrong version number."
        ),
        "does not speak TLS",
        "redis://",
    ),
    (
        redis.ResponseError("unknown command 'EVALSHA', with args beginning with: "),
        "no command EVALSHA: it is disabled there, or what answers is a Sentinel",
        "sentinel://",
    ),
    (
        redis.ResponseError(f"Unknown Redis command called from script{IN_A_SCRIPT}"),
        "lacks a command that our scripts call",
        "enable it",
    ),
    (
        redis.ResponseError("Unknown command called from script script: on @user_script:858."),  # Valkey
        "lacks a command that our scripts call",
        "enable it",
    ),
    (redis.ConnectionError("max number of clients reached"), "no connection left", "maxclients"),
    (
        redis.ResponseError(
            "DENIED Redis is running in protected mode because protected mode is enabled, no bind address "
        ),
        "protected-mode",
        "docs/redis-users.acl",
    ),
    (
        redis.ResponseError(f"MISCONF Errors writing to the AOF file: No space left on device{IN_A_SCRIPT}"),
        "cannot write its file",
        "the space on its disk",
    ),
    (redis.ResponseError("BUSY Redis is busy running a script."), "held up by a script", "SCRIPT KILL"),
    (
        redis.ResponseError(f"WRONGTYPE Operation against a key of the wrong kind of value{IN_A_SCRIPT}"),
        "holds something else",
        "LOCKSTEP_KEY_PREFIX",
    ),
]


def raised(error: Exception) -> LockstepError:
    with pytest.raises(LockstepError) as caught, store_errors():
        raise error
    return caught.value


@pytest.mark.parametrize(("error", "what", "remedy"), TABLE, ids=lambda each: str(each)[:40])
def test_a_line_says_what_is_wrong_and_what_mends_it(error: Exception, what: str, remedy: str) -> None:
    wrong, _, mended = str(raised(error)).partition("; ")
    assert what in wrong
    assert remedy in mended
    for raw in ("script:", "@user_script", "\n", "ERR", "<proto>"):
        assert raw not in f"{wrong} {mended}"


@pytest.mark.parametrize(("error", "what", "remedy"), TABLE, ids=lambda each: str(each)[:40])
def test_a_broker_that_says_so_is_told_in_the_same_words(error: Exception, what: str, remedy: str) -> None:
    code = "MOVED " if isinstance(error, exceptions.MovedError) else ""
    said = str(unavailable(OperationalError(f"the broker is out of reach: {code}{error}")))
    assert remedy in said


def test_a_full_redis_is_told_apart() -> None:
    kinds = {type(raised(error)) for error, what, _ in TABLE if "memory limit" in what}
    assert kinds == {StoreFull}
    told_apart = ("memory limit", "something else")
    others = {type(raised(error)) for error, what, _ in TABLE if not any(each in what for each in told_apart)}
    assert others == {StoreUnavailable}


def test_what_is_no_key_of_ours_is_damage() -> None:
    assert [type(raised(error)) for error, what, _ in TABLE if "something else" in what] == [RecordDamaged]


def test_every_row_of_the_table_is_met() -> None:
    met = {cause.pattern for error, *_ in TABLE if (cause := cause_of(error))}
    assert met == {cause.pattern for cause in CAUSES}


def test_a_record_of_a_newer_version_is_none_of_these() -> None:
    error = redis.ResponseError(f"LOCKSTEPFORMAT 2{IN_A_SCRIPT}")
    assert type(raised(error)) is UnknownFormat
    assert "format 2" in str(raised(error))


@pytest.mark.parametrize(
    "error",
    [redis.ResponseError("wrong number of arguments for 'hset' command"), redis.DataError("Invalid input")],
)
def test_a_call_that_is_wrong_stays_a_bug(error: Exception) -> None:
    with pytest.raises(type(error), match=re.escape(str(error))), store_errors():
        raise error
