"""What tells that a server is not the primary, whatever its age; a scripted server plays each."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lockstep import ClusterClient
from lockstep.producer.doctor import Level
from lockstep.worker.connection import RETRIES, client, primary
from lockstep.worker.connection.primary import WrongServer, is_about_server, judge
from lockstep.worker.operation.errors import StoreUnavailable
from lockstep.worker.record.causes import store_errors
from lockstep.worker.record.link import Link
from lockstep.worker.settings import Settings
from tests.waits import eventually

GREETING: dict[str, str | int] = {
    "server": "redis",
    "version": "7.2.4",
    "proto": 3,
    "mode": "standalone",
    "role": "master",
}
Play = Callable[[str], bytes]


def hello(**changed: str) -> bytes:
    said: dict[str, str | int] = {**GREETING, **changed}
    parts = [f"%{len(said)}\r\n"]
    for name, value in said.items():
        parts.append(f"${len(name)}\r\n{name}\r\n")
        parts.append(f":{value}\r\n" if isinstance(value, int) else f"${len(value)}\r\n{value}\r\n")
    return "".join(parts).encode()


class Server:
    """Answers each command as it is told to; counts the connections."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.accepted, self._last = 0, None
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def settled(self) -> int:
        """Return how many connections were made; one that nobody answered may not have been accepted yet."""
        with socket.create_connection(self._listener.getsockname()) as last:
            eventually(lambda: self._last == last.getsockname(), "all before it are accepted")
        return self.accepted - 1

    def close(self) -> None:
        """End the thread that listens, which closes the socket: its number may be the next listener's."""
        self._listener.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with self._listener, suppress(OSError):
            while True:
                peer, address = self._listener.accept()
                self.accepted, self._last = self.accepted + 1, address
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as lines:
            while line := lines.readline():
                words = []
                for _ in range(int(line[1:])):
                    lines.readline()
                    words.append(lines.readline().decode().strip())
                peer.sendall(self.play(words[0]))


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(lambda _: b"+OK\r\n")
    yield made
    made.close()


@pytest.fixture
def asked(server: Server) -> Iterator[redis.Redis]:
    made = client(Settings(redis_url=server.url))
    made.set_retry(Retry(NoBackoff(), RETRIES))  # as often as in production, without the waits
    yield made
    made.close()


def playing(says: bytes, greeting: bytes = b"") -> Play:
    return lambda command: {"HELLO": greeting or hello(), "CLIENT": b"+OK\r\n", "PING": b"+PONG\r\n"}.get(
        command, says
    )


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        ({}, None),
        ({"role": "active-replica"}, None),  # KeyDB's, which takes writes
        ({"server": "valkey", "version": "9.1.0"}, None),
        ({"role": "replica"}, "it is a replica"),
        ({"role": "slave"}, "it is a replica"),
        ({"mode": "cluster"}, "it runs in cluster mode"),
        ({"mode": "sentinel"}, "it is a Sentinel"),
        ({"version": "6.0.16"}, "it is version 6.0.16, older than 6.2"),
    ],
)
def test_a_greeting_tells_who_can_serve(greeting: dict[str, str], said: str | None) -> None:
    text = judge({**GREETING, **greeting})
    in_bytes = judge({k.encode(): v.encode() for k, v in greeting.items()})
    assert text == in_bytes
    assert (text or "").startswith(said or "")
    assert (text is None) is (said is None)


@pytest.mark.parametrize(
    "error",
    [
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
        b"-UNBLOCKED force unblock from blocking operation, instance state changed\r\n",
        # Redis 6.2 wraps what a command in a script is told.
        b"-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write\r\n",
    ],
)
def test_an_error_about_the_server_drops_every_connection_to_it(
    server: Server, asked: redis.Redis, error: bytes
) -> None:
    server.play = playing(b"+fine\r\n")
    other = client(Settings(redis_url=server.url))
    for each in (asked, other):
        assert each.get("a") == "fine"
    assert server.accepted == 2
    server.play = playing(error)
    with pytest.raises(WrongServer, match="cannot be used: "):
        asked.get("a")
    server.play = playing(b"+fine\r\n")
    made = server.accepted
    for each in (asked, other):
        assert each.get("a") == "fine"
    assert server.accepted >= made + 1, "the other pool's connection was made anew as well"
    other.close()


def test_an_error_about_a_command_drops_nothing(server: Server, asked: redis.Redis) -> None:
    server.play = playing(b"-WRONGTYPE Operation against a key\r\n")
    for _ in range(3):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            asked.get("a")
    assert server.accepted == 1
    assert not is_about_server(redis.ResponseError("ERR the text READONLY in a value"))


def test_a_role_that_changes_is_seen_by_who_only_reads(
    server: Server, asked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play = playing(b"+fine\r\n")
    assert asked.get("a") == "fine"
    server.play = playing(b"+stale\r\n", hello(role="replica"))
    monkeypatch.setattr(primary, "ASK_EVERY", -1.0)
    with pytest.raises(StoreUnavailable, match="a read-only replica"), store_errors():
        asked.get("a")


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no Redis"),
        (b"-ERR unknown command `HELLO`\r\n", "no command HELLO.* too old"),
        (b"-NOPROTO unsupported protocol version\r\n", "does not speak RESP3"),
        (hello(mode="cluster"), "runs in cluster mode"),
        (hello(version="5.0.14"), "too old here: version 5.0.14.*Redis 6.2 or newer"),
    ],
)
def test_what_is_no_fit_server_is_one_line(
    server: Server, asked: redis.Redis, says: bytes, said: str
) -> None:
    server.play = lambda _: says
    with pytest.raises(StoreUnavailable, match=said), store_errors():
        asked.ping()


def test_a_subscribed_connection_is_asked_nothing(
    server: Server, asked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kombu takes the connection by itself, so redis-py's callback is not there to tell; an answer to HELLO
    would be taken for a message, and a message for that answer."""
    commands: list[str] = []

    def play(command: str) -> bytes:
        commands.append(command)
        return playing(b"+fine\r\n")(command)

    server.play = play
    monkeypatch.setattr(primary, "ASK_EVERY", -1.0)
    connection: Any = asked.connection_pool.get_connection()
    connection.connect()
    assert commands.count("HELLO") == 2
    connection.send_command("PSUBSCRIBE", "/0.pidbox")
    assert connection.read_response() == "fine"
    connection.connect()
    assert commands.count("HELLO") == 2
    connection.disconnect()


def test_a_silent_server_is_given_up_on_after_as_many_tries_as_any_other(server: Server) -> None:
    """A check of its health within the greeting tried as often again, each time."""
    server.play = lambda _: b""
    settings = Settings(redis_url=server.url, redis_timeout=0.05, replicas_wait_ms=10)
    told = pytest.raises(StoreUnavailable, match="Redis does not answer: Timeout")
    with client(settings) as asked, told, store_errors():
        asked.ping()
    assert server.settled() == RETRIES + 1


@pytest.mark.parametrize("by", ["a link", "doctor"])
def test_whoever_waits_for_an_answer_asks_a_silent_server_twice_in_all(server: Server, by: str) -> None:
    """Each time takes a timeout: with more of them `lockstep doctor` took 45 s to say so."""
    server.play = lambda _: b""
    given = {"hosts": "http://127.0.0.1:1", "connect_timeout": 0.1}
    settings = Settings(redis_url=server.url, redis_timeout=0.1, replicas_wait_ms=10, **given)
    if by == "doctor":
        with ClusterClient(settings) as cluster:
            failures = [each.subject for each in cluster.examine() if each.level is Level.FAILURE]
        assert failures == ["redis", "host"]
    else:
        with closing(Link(settings)) as link, pytest.raises(StoreUnavailable):
            link.store.now()
    assert server.settled() == 2


def test_no_connection_looks_up_what_version_redis_py_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in a file, which takes longer to read than a connection to make."""
    monkeypatch.setattr("redis.utils.get_lib_version", lambda: pytest.fail("it is looked up"))
    for kind in (primary.Primary, primary.TlsPrimary):
        assert kind().driver_info is primary.DRIVER
    assert primary.DRIVER.lib_version == redis.__version__


def test_what_is_idle_for_long_is_closed_and_what_is_left_looked_at_once_it_may_be(
    server: Server, asked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play = playing(b"+fine\r\n")
    pool: Any = asked.connection_pool
    now, waits = 1000.0, list[float]()
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(pool, "_close_later", waits.append)
    taken = [pool.get_connection() for _ in range(3)]
    for each in taken:
        pool.release(each)
        now += 4
    pool._close_idle()
    assert pool._available_connections == taken[1:]
    assert pool._created_connections == 2
    assert waits[-1] == primary.IDLE - 8
    now += primary.IDLE - 8.05
    pool._close_idle()
    assert waits[-1] == 0.1, "not at once again, for what a clock rounds away"
    now += primary.IDLE
    pool._close_idle()
    assert (pool._available_connections, pool._created_connections) == ([], 0)
    assert asked.get("a") == "fine"
