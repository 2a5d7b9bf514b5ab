"""Why Redis does not serve, and what mends it: one table for every line that people read about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import redis

from lockstep.worker.operation.errors import RecordDamaged, StoreFull, StoreUnavailable, UnknownFormat
from lockstep.worker.record.codec import too_new

FORMAT_ERROR = "LOCKSTEPFORMAT"
DAMAGED = re.compile(r"LOCKSTEPDAMAGED \[(.*?)\]")
"""What our scripts say of a record that they cannot read."""
UNANSWERED = "Redis does not answer"
NO_REDIS = (redis.RedisError, OSError)
"""What a library raises that did not reach Redis, or was refused there."""
FIND_IT = "LOCKSTEP_REDIS_URL names the server, `make up` starts one"


class Cause(NamedTuple):
    """What is wrong, and what mends it; `{0}` stands for what the first group of the pattern found."""

    pattern: str
    """Searched for in the error's type and text, of redis-py or kombu; the first that is found counts."""
    what: str
    remedy: str
    raises: type[StoreFull | RecordDamaged] | None = None
    """None for StoreUnavailable; when it is full, running operations can still end."""


CAUSES = (
    Cause(
        r"command not allowed when used memory > 'maxmemory'",
        "Redis is at its memory limit",
        "raise maxmemory, or shorten the retention (LOCKSTEP_RETENTION_DAYS, LOCKSTEP_RETENTION_COUNT)",
        raises=StoreFull,
    ),
    Cause(
        r"write against a read only replica|it is a replica|instance state changed",
        "Redis takes no writes: this server is a read-only replica",
        "give the primary in LOCKSTEP_REDIS_URL, or let Sentinels find it: sentinel://HOST:26379/0?master=NAME",
    ),
    Cause(
        r"HELLO must be called with the client already authenticated|Authentication required",
        "Redis asks for a password, and the URL has none",
        "LOCKSTEP_REDIS_URL=redis://NAME:PASSWORD@HOST:PORT/0",
    ),
    Cause(
        r"invalid username-password pair|invalid password|user is disabled",
        "Redis refuses the login: it has no such user, the user is off, or the password is wrong",
        "see the name and the password in LOCKSTEP_REDIS_URL, and `ACL LIST` on the server",
    ),
    Cause(
        r"AUTH <password> called without any password|Client sent AUTH, but no password is set",
        "Redis refuses the login: the URL has a password, and the server has none",
        "leave the password out of LOCKSTEP_REDIS_URL, or set one on the server",
    ),
    Cause(
        r"no permissions to run the '([^']+)' command",
        "Redis does not permit this user the command {0}",
        "docs/redis-users.acl has what each role needs: compare it with `ACL LIST` on the server",
    ),
    Cause(
        r"[Nn]o permissions to access (a|one of the) (key|channel)|The user executing the script can't",
        "Redis does not permit this user what Lockstep needs",
        "docs/redis-users.acl has what each role needs; its keys begin with LOCKSTEP_KEY_PREFIX",
    ),
    Cause(
        r"LOADING|loading the dataset in memory",
        "Redis was started, and still reads its file",
        "nothing is to be done: it serves when it has read all",
    ),
    Cause(
        r"Not enough good replicas to write",
        "Redis takes no writes: too few of its replicas are connected (min-replicas-to-write)",
        "start them, or see why they cannot reach the primary",
    ),
    Cause(
        r"DB index is out of range|Invalid Database|invalid DB index|SELECT is not allowed in cluster mode",
        "Redis has no database of this number",
        "LOCKSTEP_REDIS_URL ends with it (redis://HOST:PORT/0): see `CONFIG GET databases` on the server",
    ),
    Cause(
        r"it runs in cluster mode|^MovedError|MOVED|CROSSSLOT|Keys in request don't hash to the same slot"
        r"|CLUSTERDOWN|Hash slot not served|The cluster is down|non local key in a cluster|^AskError",
        "this Redis runs in cluster mode, in which one script cannot change several keys",
        "use a server without cluster-enabled, or Sentinels with replicas",
    ),
    Cause(
        r"Protocol error, got|Protocol Error",
        "what answers at this address is no Redis, or one that speaks TLS",
        "see host and port in LOCKSTEP_REDIS_URL; with TLS it begins with rediss://",
    ),
    Cause(
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure",
        "what answers at this address does not speak TLS",
        "see the port in LOCKSTEP_REDIS_URL; without TLS it begins with redis://",
    ),
    Cause(
        r"it is a Sentinel",
        "what answers at this address is a Sentinel",
        "sentinel://HOST:26379/0?master=NAME",
    ),
    Cause(
        r"it is version ([\d.]+), older",
        "Redis is too old here: version {0}",
        "Redis 6.2 or newer, or Valkey",
    ),
    Cause(
        r"Link with MASTER is down|MASTERDOWN",
        "this server is a replica that has lost its primary",
        "give the primary in LOCKSTEP_REDIS_URL, or see why the replica cannot reach it",
    ),
    Cause(
        r"NOPROTO|unsupported protocol version",
        "what answers at this address does not speak RESP3",
        "Redis 6.2 or newer, or Valkey, and no proxy for older protocols before it",
    ),
    Cause(
        r"unknown command '?`?([\w|]+)",
        "Redis has no command {0}: it is disabled there, or what answers is a Sentinel or too old",
        "enable it; sentinel://HOST:26379/0?master=NAME for Sentinels; else Redis 6.2 or newer",
    ),
    Cause(
        r"Unknown (?:Redis )?command called from script",
        "Redis lacks a command that our scripts call, such as INFO: it is disabled there",
        "enable it: docs/operations.md#servers-that-are-known-to-work says which are not needed",
    ),
    Cause(
        r"Timeout reading from",
        f"{UNANSWERED}: Timeout, something accepted the connection and did not answer as Redis does",
        "is it a Redis? See host and port in LOCKSTEP_REDIS_URL, and the log of a Redis that hangs",
    ),
    Cause(
        r"max number of clients reached",
        "Redis has no connection left",
        "raise maxclients, or see who holds so many: `CLIENT LIST` on the server",
    ),
    Cause(
        r"(Too many open files)",
        "Redis cannot be asked: {0} in this process",
        "raise its limit (`ulimit -n`): docs/operations.md#scaling says how many a worker needs",
    ),
    Cause(
        r"DENIED Redis is running in protected mode|protected mode",
        "Redis serves its own machine alone (protected-mode)",
        "give it users (docs/redis-users.acl), or a password",
    ),
    Cause(
        r"MISCONF",
        "Redis takes no writes: it cannot write its file",
        "see its log and the space on its disk",
    ),
    Cause(
        r"BUSY |is busy running a script",
        "Redis is held up by a script",
        "end it as its administrator: `SCRIPT KILL` on the server; `SLOWLOG GET` then says whose it was",
    ),
    Cause(
        r"WRONGTYPE",
        "Redis holds something else under a name that Lockstep uses",
        "choose another database, or another LOCKSTEP_KEY_PREFIX",
        raises=RecordDamaged,
    ),
)


def cause_of(error: BaseException) -> Cause | None:
    """Return what is known to bring this error of redis-py or kombu; None for any other."""
    said = f"{type(error).__name__}: {error}"
    for cause in CAUSES:
        if found := re.search(cause.pattern, said):
            return cause._replace(what=cause.what.format(*found.groups()))
    return None


def unavailable(error: BaseException) -> StoreUnavailable:
    """Return an error of redis-py or kombu as our own: one line on what is wrong, and what mends it."""
    cause = cause_of(error)
    if cause is not None:
        return StoreUnavailable(cause.what, cause.remedy)
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return StoreUnavailable(f"{UNANSWERED}: {said}", FIND_IT)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what redis-py raises into an error of ours, with one line that says why."""
    try:
        yield
    except redis.RedisError as error:
        text = str(error)
        if FORMAT_ERROR in text:
            raise UnknownFormat(too_new(text.partition(FORMAT_ERROR)[2].split()[0])) from error
        if damaged := DAMAGED.search(text):
            raise RecordDamaged(damaged[1]) from error
        cause = cause_of(error)
        if cause is None and not isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
            raise  # a call of ours that Redis or its client does not understand
        if cause is not None and cause.raises is not None:
            raise cause.raises(f"{cause.what}; {cause.remedy}") from error
        raise unavailable(error) from error
    except OSError as error:  # a file or a socket that redis-py could not open
        raise unavailable(error) from error
