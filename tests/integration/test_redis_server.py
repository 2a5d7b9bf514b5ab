"""The Redis of a stack: which program it is, and where it listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import redis

from lockstep.producer.stack import RedisServer, StackError
from lockstep.producer.stack import processes as servers


def test_redis_takes_another_port_when_its_own_is_gone(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    wished = server.port
    with socket.create_server(("127.0.0.1", wished)), server:
        assert server.port != wished
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "b")
            server.kill()
            server.start()
            assert client.get("a") == b"b"


def test_redis_takes_no_other_server_on_its_port_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("theirs", "ours")]
    for folder in folders:
        folder.mkdir()
    with RedisServer(folders[0]) as theirs:
        with monkeypatch.context() as patched:
            patched.setattr(servers, "free_port", lambda: theirs.port)
            ours = RedisServer(folders[1])
        with ours:
            assert ours.port != theirs.port
            assert ours.running


def test_the_server_is_the_packaged_one_then_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "packaged_server", lambda: Path("/packaged"))
    assert servers.find_server() == Path("/packaged")
    monkeypatch.setattr(servers, "packaged_server", lambda: None)
    with pytest.raises(StackError, match="neither valkey-server nor redis-server is on PATH; install one"):
        servers.find_server()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert servers.find_server() == tmp_path / name
