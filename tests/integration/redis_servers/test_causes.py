"""Real servers that do not serve: the command says why in one line, and writes nothing."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lockstep.producer.cli import main
from lockstep.producer.stack.redis_server import RedisServer


class Http(BaseHTTPRequestHandler):
    """Answers whatever is no request of HTTP with a page."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def http() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Http) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Ask for a group; return what was said on stderr."""

    def run(url: str) -> str:
        monkeypatch.setenv("LOCKSTEP_REDIS_URL", url)
        monkeypatch.setenv("LOCKSTEP_HOSTS", "http://node1:1")
        assert main(["create", "team-a", "--no-wait"]) == 5
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--replicaof", "127.0.0.1 1"], "Redis takes no writes: this server is a read-only replica; give"),
        (["--min-replicas-to-write", "1"], "Redis takes no writes: too few of its replicas are connected"),
        (["--cluster-enabled", "yes"], "this Redis runs in cluster mode, in which one script"),
        (["--rename-command", "EVALSHA", ""], "what answers at this address is a Sentinel, or a Redis that"),
    ],
    ids=lambda value: value[0][2:] if isinstance(value, list) else "",
)
def test_a_server_that_does_not_serve_says_why(
    tmp_path: Path, created: Callable[[str], str], options: Sequence[str], said: str
) -> None:
    with RedisServer(tmp_path, options=options) as server:
        server.start()
        told = created(server.url)
    assert told.startswith(f"lockstep: error: {said}")
    assert told.count("\n") == 1


def test_what_is_no_redis_is_told(http: str, created: Callable[[str], str]) -> None:
    assert created(http) == (
        "lockstep: error: what answers at this address is no Redis, or one that speaks TLS; "
        "see host and port in LOCKSTEP_REDIS_URL; with TLS it begins with rediss://\n"
    )
