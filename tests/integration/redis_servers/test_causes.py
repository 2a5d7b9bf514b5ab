"""Real servers that do not serve: commands, doctor and workers say why in one line, and write nothing."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lockstep.producer.cli import main
from lockstep.producer.stack.processes import RedisServer
from tests.raw_server import serving
from tests.waits import PATIENCE, eventually
from tests.warm import Warm

SaidBy = Callable[[str, str], tuple[int, str]]


class Http(BaseHTTPRequestHandler):
    """Answers whatever is no request of HTTP with a page."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def http() -> Iterator[str]:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Http)) as server:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"


@pytest.fixture
def silent() -> Iterator[str]:
    """What accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def said_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> SaidBy:
    """Run a command on a server; return its exit code and what it said of Redis, with the remedy."""

    def run(url: str, command: str) -> tuple[int, str]:
        monkeypatch.setenv("LOCKSTEP_REDIS_URL", url)
        monkeypatch.setenv("LOCKSTEP_HOSTS", "http://127.0.0.1:1")
        code = main(command.split())
        told = capsys.readouterr()
        if command != "doctor":
            return code, told.err
        found = re.findall(r"^failure +redis +(.+)\n +-> (.+)$", told.out, re.MULTILINE)
        return code, "".join(f"lockstep: error: {'; '.join(each)}\n" for each in found)

    return run


def check(said_by: SaidBy, url: str, said: str, doctor: bool = True) -> None:
    """A command says why, in one line, and doctor says the same if it can see it: it writes nothing."""
    code, told = said_by(url, "create team-a --no-wait")
    assert (code, told.count("\n")) == (5, 1)
    assert told.startswith(f"lockstep: error: {said}")
    code, found = said_by(url, "doctor")
    assert (code, bool(found)) == (1, doctor)
    assert told.startswith(found.rstrip())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--replicaof", "127.0.0.1 1"], "Redis takes no writes: this server is a read-only replica; give"),
        (["--min-replicas-to-write", "1"], "Redis takes no writes: too few of its replicas are connected"),
        (["--cluster-enabled", "yes"], "this Redis runs in cluster mode, in which one script"),
        (["--rename-command", "EVALSHA", ""], "Redis has no command EVALSHA: it is disabled there, or"),
    ],
    ids=lambda value: value[0][2:] if isinstance(value, list) else "",
)
def test_a_server_that_does_not_serve_says_why(
    tmp_path: Path, said_by: SaidBy, options: Sequence[str], said: str
) -> None:
    with RedisServer(tmp_path, options=options) as server:
        server.start()
        if "--cluster-enabled" in options:
            with redis.Redis.from_url(server.url) as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                state = partial(client.execute_command, "CLUSTER", "INFO")
                eventually(lambda: "cluster_state:ok" in str(state()), "it serves")
        check(said_by, server.url, said, doctor="EVALSHA" not in options)


def test_a_server_that_reads_its_file_says_so(
    tmp_path: Path, said_by: SaidBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes 0.3 ms for each key here, and answers after each thousand."""
    monkeypatch.setenv("LOCKSTEP_REDIS_TIMEOUT", "1")
    monkeypatch.setenv("LOCKSTEP_REPLICAS_WAIT_MS", "100")
    with RedisServer(tmp_path, options=["--key-load-delay", "300"]) as server:
        server.start()
        with redis.Redis.from_url(server.url, socket_timeout=PATIENCE) as client:
            client.eval("for n = 1, 150000 do redis.call('SET', n, n) end", 0)
        server.kill()
        server.launch()
        with redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
            eventually(lambda: loads(client), "it reads its file")
        check(said_by, server.url, "Redis was started, and still reads its file; nothing is to be done")
        server.kill()


def loads(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    raise AssertionError("it has read its file by now")


def test_a_script_that_never_ends_is_told_with_what_ends_it(tmp_path: Path, said_by: SaidBy) -> None:
    with RedisServer(tmp_path, options=["--busy-reply-threshold", "50"]) as server:
        server.start()
        with redis.Redis.from_url(server.url) as client:
            endless = threading.Thread(target=run_endless, args=[server.url])
            endless.start()
            eventually(lambda: is_busy(client), "it is busy")
            check(
                said_by,
                server.url,
                "Redis is held up by a script; end it as its administrator: `SCRIPT KILL` ",
            )
            client.execute_command("SCRIPT", "KILL")
            endless.join()
            assert any(b"while true" in each["command"] for each in client.slowlog_get())
        assert said_by(server.url, "list")[0] == 0


def run_endless(url: str) -> None:
    once = Retry(NoBackoff(), 0)
    with (
        redis.Redis.from_url(url, socket_timeout=PATIENCE, retry=once) as client,
        pytest.raises(redis.ResponseError, match="killed by user"),
    ):
        client.eval("while true do end", 0)


def is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as error:
        return "BUSY" in f"{error}"
    return False


def test_who_says_nothing_is_told(silent: str, said_by: SaidBy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_REDIS_TIMEOUT", "0.2")
    monkeypatch.setenv("LOCKSTEP_REPLICAS_WAIT_MS", "100")
    check(said_by, silent, WAITS)


SPEAKS = "what answers at this address is no Redis, or one that speaks TLS; see host and port in"
NOT_PERMITTED = "Redis does not permit this user what Lockstep needs; docs/redis-users.acl has"
WAITS = (
    "Redis does not answer: Timeout, something accepted the connection and did not answer as Redis does; "
    "is it a Redis?"
)


@pytest.mark.parametrize(
    ("role", "server", "told"),
    [
        ("worker -Q operations -n a@%h", "http", SPEAKS),
        ("worker -Q operations -n a@%h", "silent", WAITS),
        ("beat", "http", SPEAKS),
    ],
)
def test_a_worker_says_it_too(
    request: pytest.FixtureRequest, role: str, server: str, told: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "celery", "-A", "lockstep", *role.split()]
    url = request.getfixturevalue(server)
    short = {"LOCKSTEP_REDIS_TIMEOUT": "0.2", "LOCKSTEP_REPLICAS_WAIT_MS": "100"}
    hosts = {"LOCKSTEP_HOSTS": "http://node1:1"}
    env = {**os.environ, **short, **hosts, "LOCKSTEP_REDIS_URL": url, "PYTHONPATH": str(Path.cwd())}
    with Warm("celery", command, directory=tmp_path, env=env) as child:
        eventually(lambda: told in child.output(), "it says what is wrong")
        assert "Traceback" not in child.output()


@pytest.mark.parametrize(
    ("refuse", "told", "serve"),
    [
        (["CONFIG SET maxmemory 1"], "Redis is at its memory limit; raise", ["CONFIG SET maxmemory 0"]),
        (
            ["CONFIG SET min-replicas-to-write 1"],
            "too few of its replicas are connected (min-replicas-to-write); start them",
            ["CONFIG SET min-replicas-to-write 0"],
        ),
        (["ACL SETUSER default resetkeys"], NOT_PERMITTED, ["ACL SETUSER default ~*"]),
        (["ACL SETUSER default resetchannels"], NOT_PERMITTED, ["ACL SETUSER default &*"]),
    ],
    ids=["full", "replicas", "keys", "channels"],
)
def test_a_worker_that_redis_refuses_says_so_in_a_line_and_goes_on_when_it_serves(
    tmp_path: Path, refuse: Sequence[str], told: str, serve: Sequence[str]
) -> None:
    """It is let in, and refused what it asks first; told again, it has been tried again."""
    options = ["-A", "lockstep", "worker", "-Q", "operations", "-l", "INFO"]
    command = [sys.executable, "-m", "celery", *options]
    with RedisServer(tmp_path, options=["--save", ""]) as server, redis.Redis.from_url(server.url) as admin:
        server.start()
        for each in refuse:
            admin.execute_command(*each.split())
        hosts = {"LOCKSTEP_HOSTS": "http://node1:1", "LOCKSTEP_REDIS_URL": server.url}
        env = {**os.environ, **hosts, "PYTHONPATH": str(Path.cwd())}
        with Warm("celery", command, directory=tmp_path, env=env) as child:
            eventually(lambda: child.output().count(told) > 2, "it says what is wrong, and tries again")
            for each in serve:
                admin.execute_command(*each.split())
            eventually(lambda: takes_tasks(admin), "it takes tasks")
            assert child.running
            assert "Traceback" not in child.output()
            assert "Frequent restarts" not in child.output()


def takes_tasks(admin: redis.Redis) -> bool:
    return any(each["cmd"] == "brpop" for each in admin.client_list())


def test_what_is_no_redis_is_told(http: str, said_by: SaidBy) -> None:
    said = (
        "what answers at this address is no Redis, or one that speaks TLS; see host and port in LOCKSTEP_RE"
    )
    check(said_by, http, said)
