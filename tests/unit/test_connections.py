"""Clients of Redis: their options to the letter, and connections that are asked, kept or dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lockstep.worker import connection
from lockstep.worker.connection import _Backoff, client, clock_ahead, impatient, primary
from lockstep.worker.connection.primary import WrongServer, judge
from lockstep.worker.settings import Settings
from lockstep.worker.settings.redis_url import password_in
from tests.children import in_child
from tests.unit.test_primary import GREETING, Server, playing
from tests.waits import eventually

FINE = playing(b"+fine\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(FINE)
    yield made
    made.close()


@pytest.fixture
def asked(server: Server) -> Iterator[redis.Redis]:
    made = client(Settings(redis_url=server.url))
    made.set_retry(Retry(NoBackoff(), 0))
    yield made
    made.close()


def test_a_connection_has_timeouts_and_is_kept_alive(tmp_path: Path) -> None:
    assert connection.socket_options(Settings()) == {
        "socket_timeout": 5.0,
        "socket_connect_timeout": 3.0,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }
    assert connection.tls_options(Settings()) == connection.sentinel_options(Settings()) == {}
    (tmp_path / "pem").touch()
    files = {f"redis_{name}_file": str(tmp_path / "pem") for name in ("ca", "cert", "key")}
    assert connection.tls_options(Settings(redis_url="rediss://a", **files)) == {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        **dict.fromkeys(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), str(tmp_path / "pem")),
    }
    kept = client(Settings(redis_url="rediss://a")).connection_pool
    assert (type(kept), kept.connection_class) == (primary.Pool, primary.TlsPrimary)
    found: Any = client(Settings(redis_url="sentinel://a?master=main")).connection_pool
    assert type(found) is primary.SentinelPool
    brief = impatient(Settings())
    assert (brief.redis_timeout, brief.redis_connect_timeout, connection.RETRIES) == (2.0, 2.0, 3)


def caught(backoff: _Backoff, error: Exception, failures: int = 1) -> float:
    try:
        raise error
    except type(error):
        return backoff.compute(failures)


def test_between_two_tries_there_is_more_and_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    backoff, silent = _Backoff(0.0), redis.TimeoutError()
    gone = redis.ConnectionError()
    assert [caught(backoff, gone, failures) for failures in (1, 2, 9)] == [0.1, 0.2, 1.0]
    assert [caught(backoff, silent) for _ in range(3)] == [0.1] * 3
    now = 100.0
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: now))
    brief = _Backoff(2.0)
    assert [caught(brief, silent), caught(brief, gone)] == [0.1, 0.1]
    now += 2.1
    assert caught(brief, TimeoutError()) == 0.1
    now += 1.9
    with pytest.raises(redis.TimeoutError):
        caught(brief, silent)


@pytest.mark.parametrize(("took", "ahead"), [(0.0, 600_000), (0.5, 600_250), (1.0, 600_500), (1.001, None)])
def test_a_clock_is_held_against_that_of_redis_half_way_through_the_answer(
    took: float, ahead: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter((5.0, 5.0 + took))
    clock = SimpleNamespace(time=lambda: 10_600.25, monotonic=lambda: next(looks))
    monkeypatch.setattr(connection, "time", clock)
    asked: Any = SimpleNamespace(time=lambda: (10_000, 250_000))
    assert clock_ahead(asked) == ahead


@pytest.mark.parametrize("version", ["6.2.0", "7.0", "10.1.1", "255.255.255", "unstable", "6"])
def test_a_version_that_is_as_old_as_may_be_will_do_and_so_will_one_that_cannot_be_read(version: str) -> None:
    assert judge({**GREETING, "version": version}) is None


def test_a_server_is_asked_for_its_role_again_after_five_seconds(
    server: Server, asked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def play(command: str) -> bytes:
        commands.append(command)
        return FINE(command)

    server.play = play
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for seconds, times in ((0, 1), (5.0, 1), (0.1, 2), (5.0, 2), (0.1, 3)):
        now += seconds
        assert asked.get("a") == "fine"
        assert commands.count("HELLO") == times
    assert server.accepted == 1


def test_a_connection_to_a_server_that_another_found_wrong_is_made_anew(
    server: Server, asked: redis.Redis
) -> None:
    other = client(Settings(redis_url=server.url))
    assert other.get("a") == asked.get("a") == "fine"
    server.play = playing(b"-READONLY You can't write against a read only replica.\r\n")
    taken: Any = asked.connection_pool.get_connection()
    taken.send_command("GET", "a")
    with pytest.raises(WrongServer):
        taken.read_response()
    assert not taken.is_connected, "nobody else is to be told by it"
    asked.connection_pool.release(taken)
    server.play = FINE
    before = server.accepted
    assert other.get("a") == "fine"
    assert server.accepted == before + 1
    assert other.get("a") == "fine"
    assert server.accepted == before + 1
    other.close()


def test_what_a_record_holds_is_no_greeting(server: Server, asked: redis.Redis) -> None:
    server.play = playing(b"%1\r\n$4\r\nrole\r\n$5\r\nslave\r\n")
    assert asked.hgetall("a") == {"role": "slave"}
    assert asked.hgetall("a") == {"role": "slave"}
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("greeting", "says", "kind"),
    [
        (b"-WRONGPASS invalid username-password pair\r\n", b"", redis.AuthenticationError),
        (b"", b"-ERR unknown command 'FOO'\r\n", redis.ResponseError),
    ],
)
def test_an_error_that_is_not_about_the_server_stays_what_it_is(
    server: Server, asked: redis.Redis, greeting: bytes, says: bytes, kind: type[Exception]
) -> None:
    server.play = playing(says, greeting)
    with pytest.raises(kind) as told:
        asked.get("a")
    assert not isinstance(told.value, WrongServer)


@pytest.mark.parametrize(
    "says",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command `HELLO`\r\n", b"-NOPROTO unsupported\r\n"],
)
def test_what_does_not_answer_the_greeting_is_the_wrong_server(
    server: Server, asked: redis.Redis, says: bytes
) -> None:
    server.play = lambda _: says
    with pytest.raises(WrongServer, match="cannot be used"):
        asked.ping()


def test_a_password_that_was_replaced_in_its_file_is_the_next_connections(tmp_path: Path) -> None:
    class Connected:
        password: str | None = None
        health_check_interval = 15
        next_health_check = 0.0

        def on_connect_check_health(self, check_health: bool) -> bool:
            return check_health

    class Replies(primary._Replies, Connected):
        def __init__(self) -> None: ...

    file = tmp_path / "password"
    file.write_text("canary-first")
    made = Replies()
    assert (made.on_connect_check_health(), made.password) == (True, None)
    made.password = password_in(str(file)).reveal()
    file.write_text("canary-second")
    began = time.monotonic()
    made.on_connect_check_health()
    assert made.password == "canary-second"
    assert made.next_health_check >= began + 15


def test_what_was_interrupted_or_is_closed_is_not_used_again(server: Server, asked: redis.Redis) -> None:
    pool: Any = asked.connection_pool
    one, two, three = (pool.get_connection() for _ in range(3))
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        pool.release(one)
    try:
        raise redis.ResponseError
    except redis.ResponseError:
        pool.release(two)
    assert (one.is_connected, two.is_connected) == (False, True)
    timer = pool._closing
    assert timer.daemon, "it holds up no process that ends"
    four = pool.get_connection()
    pool.release(four)
    assert pool._closing is timer, "one at a time"
    pool.close()
    assert (two.is_connected, three.is_connected) == (False, True)
    pool.release(three)
    assert not three.is_connected
    assert asked.get("a") == "fine"


def test_a_forked_child_has_a_pool_of_its_own_though_its_parent_was_at_work(
    server: Server, asked: redis.Redis
) -> None:
    assert asked.get("a") == "fine"
    pool: Any = asked.connection_pool
    (used,) = pool._available_connections
    with pool._lock:
        assert in_child(lambda: (pool._available_connections, pool._closing)) == ([], None)
    assert pool._available_connections == [used]
    pool.start_anew()
    assert pool._available_connections == []
    eventually(lambda: server.accepted == 1, "nobody connected")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """What times are drawn from; each is the shortest of them."""
    drawn: list[tuple[float, float]] = []

    def shortest(least: float, most: float) -> float:
        drawn.append((least, most))
        return least

    monkeypatch.setattr("random.uniform", shortest)
    return drawn


def test_a_redis_that_is_full_is_asked_again_after_a_while(
    server: Server, asked: redis.Redis, spans: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    left = [2]

    def play(command: str) -> bytes:
        if command == "HELLO" and left[0]:
            left[0] -= 1
            return b"-ERR max number of clients reached\r\n"
        return FINE(command)

    server.play = play
    assert asked.get("a") == "fine"
    assert (spans, slept) == ([(0.1, 0.5)] * 2, [0.1] * 2)


def test_a_pool_that_is_used_up_is_looked_at_again_soon(
    asked: redis.Redis, spans: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    pool: Any = asked.connection_pool
    pool.max_connections = 1
    held = pool.get_connection()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        pool.release(held)

    monkeypatch.setattr("time.sleep", sleep)
    pool.longest = 0.0
    with pytest.raises(redis.ConnectionError):
        pool.get_connection()
    assert spans == []
    pool.longest = 1.0
    assert pool.get_connection() is held
    assert (spans, slept) == ([(0.02, 0.1)], [0.02])
