"""Hosts over TLS: certificates are verified, whatever carries the calls."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import HostClient, SystemClock
from lockstep.worker.operation.answer import LookVerdict, in_time
from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, HostName, Presence
from lockstep.worker.settings import Settings
from tests.contract.tls_server import Server, served
from tests.integration.redis_servers.certificates import Authority
from tests.unit.answer_server import tell
from tests.unit.client import G
from tests.waits import PATIENCE

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
UNTRUSTED = "TLS error: its certificate is of an authority that is not trusted"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trusted") / "authority")


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    with served(context) as running:
        yield running


carry = curl.exchange


@pytest.fixture(params=["libcurl", "requests"], autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Carry this test's calls in one way, then in the other; no connection is left of another test's."""
    exchange = curl.Loop().carry if request.param == "libcurl" else looks.exchange
    monkeypatch.setattr(sys.modules[__name__], "carry", exchange)
    return str(request.param)


def called(host: Host, settings: Settings | None = None) -> HostClient:
    return HostClient(host, settings or Settings(), carry)


def client(server: Server, verify: bool | str) -> HostClient:
    return called(Host(HostName("node1"), f"https://localhost:{server.server_port}", verify=verify))


def write(host: HostClient) -> Effect:
    return host.write(Action.CREATE, G, AttemptId("a1"), in_time(SystemClock(), 60)).effect


def test_a_certificate_of_the_authority_is_trusted_and_one_connection_serves(
    server: Server, authority: Authority, carrier: str
) -> None:
    host = client(server, str(authority.file))
    assert host.look_at_group(G).verdict is LookVerdict.SEEN
    assert write(host) is Effect.APPLIED
    assert server.accepted == (1 if carrier == "libcurl" else 2)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_is_kept_until_an_answer_comes_that_nobody_asked_for(
    authority: Authority, version: ssl.TLSVersion, carrier: str
) -> None:
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    context.minimum_version = context.maximum_version = version
    go, gone = threading.Event(), threading.Event()

    def then(connection: socket.socket) -> None:
        if len(running.heads) == 5 and carrier == "libcurl":  # the other keeps no connection
            assert go.wait(PATIENCE)
            tell(connection, b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"groupId": "g"}')
            gone.set()

    with served(context) as running:
        running.then = then
        host = client(running, str(authority.file))
        for _ in range(5):
            assert host.look_at_group(G).presence is Presence.ABSENT
        assert running.accepted == (1 if carrier == "libcurl" else 5)
        go.set()
        assert carrier == "requests" or gone.wait(PATIENCE)
        assert host.look_at_group(G).presence is Presence.ABSENT
        assert running.accepted == (2 if carrier == "libcurl" else 6)


@pytest.mark.parametrize("stranger", [True, False], ids=["another authority", "the system's"])
def test_a_certificate_of_a_stranger_is_not(server: Server, tmp_path: Path, stranger: bool) -> None:
    host = client(server, str(Authority(tmp_path / "stranger").file) if stranger else True)
    answer = host.write(Action.CREATE, G, AttemptId("a1"), in_time(SystemClock(), 60))
    assert (answer.effect, answer.text) == (
        Effect.NOT_APPLIED,
        "not sent: TLS error: its certificate is of an authority that is not trusted",
    )
    assert host.look_at_group(G).verdict is LookVerdict.NO_INFORMATION


def test_without_verification_any_certificate_does(server: Server) -> None:
    assert write(client(server, False)) is Effect.APPLIED


def test_an_authority_that_was_replaced_is_read_again(
    server: Server, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    shutil.copy(Authority(tmp_path / "old").file, file)
    host = client(server, str(file))
    assert host.look_at_group(G).text == f"not sent: {UNTRUSTED}"
    fresh = tmp_path / "fresh.pem"
    shutil.copy(authority.file, fresh)
    fresh.replace(file)
    assert host.look_at_group(G).verdict is LookVerdict.SEEN


def test_a_certificate_of_ours_is_shown_and_read_again_when_it_is_replaced(
    authority: Authority, tmp_path: Path, carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node asks for one, in TLS 1.2, in which it says so before anything is sent."""
    own = authority.sign("localhost", "DNS:localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    cert, key = tmp_path / "own.pem", tmp_path / "own.key"
    with served(context) as running:
        url = f"https://localhost:{running.server_port}"
        without = Host(HostName("node1"), url, verify=str(authority.file))
        host = called(replace(without, cert=(str(cert), str(key))))

        assert called(without).look_at_group(G).verdict is LookVerdict.NO_INFORMATION
        assert host.look_at_group(G).text.startswith("not sent: ")  # no such file
        for signed, taken in (
            (Authority(tmp_path / "stranger").sign("me", "DNS:me"), False),
            (authority.sign("me", "DNS:me"), True),
        ):
            for old, new in ((signed.certificate, cert), (signed.key, key)):
                shutil.copy(old, tmp_path / "fresh")
                (tmp_path / "fresh").replace(new)
            assert (host.look_at_group(G).verdict is LookVerdict.SEEN) is taken
        shutil.copy(own.key, key)
        if carrier == "libcurl":
            monkeypatch.setattr(
                sys.modules[__name__], "carry", curl.Loop().carry
            )  # without a kept connection
            said = "not sent: TLS error: its cert_file and key_file do not belong together"
            assert called(host.host).look_at_group(G).text == said


@pytest.mark.parametrize("closes", [False, True], ids=["kept", "closed"])
def test_a_certificate_of_ours_that_was_replaced_is_not_shown_again(
    authority: Authority, tmp_path: Path, carrier: str, closes: bool
) -> None:
    """Neither a connection that was kept nor a session of TLS that is resumed goes on with the one before."""
    own = authority.sign("localhost", "DNS:localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = tmp_path / "own.pem", tmp_path / "own.key"
    with served(context) as running:
        running.closes = closes
        url, ours = f"https://localhost:{running.server_port}", (str(cert), str(key))
        host = called(Host(HostName("node1"), url, verify=str(authority.file), cert=ours))
        for name in ("first", "second"):
            signed = authority.sign(name, f"DNS:{name}")
            for old, new in ((signed.certificate, cert), (signed.key, key)):
                shutil.copy(old, tmp_path / "fresh")
                (tmp_path / "fresh").replace(new)
            assert [host.look_at_group(G).verdict for _ in range(2)] == [LookVerdict.SEEN] * 2
        assert running.shown == ["first", "first", "second", "second"]
        assert running.accepted == (2 if carrier == "libcurl" and not closes else 4)


def test_a_host_is_asked_for_the_name_that_its_entry_gives(
    server: Server, authority: Authority, carrier: str
) -> None:
    asked: list[str | None] = []
    server.socket.context.sni_callback = lambda _, name, __: asked.append(name)  # type: ignore[attr-defined]
    named = replace(client(server, str(authority.file)).host, url=f"https://127.0.0.1:{server.server_port}")
    host = called(replace(named, server_name="localhost"))
    assert host.look_at_group(G).verdict is LookVerdict.SEEN
    assert write(host) is Effect.APPLIED
    assert set(asked) == {"localhost"}
    assert server.accepted == (1 if carrier == "libcurl" else 2)
    other = called(replace(named, server_name="other.example"))
    assert other.look_at_group(G).text == "not sent: TLS error: its certificate is for another name"
    assert server.heads[-1] == f"127.0.0.1:{server.server_port}", "Host stays that of the URL"


def test_the_reason_is_named(server: Server, authority: Authority, tmp_path: Path) -> None:
    port = server.server_port
    other = called(Host(HostName("n"), f"https://127.0.0.1:{port}", verify=str(authority.file)))
    assert other.look_at_group(G).text == "not sent: TLS error: its certificate is for another name"
    assert client(server, str(tmp_path / "gone.pem")).look_at_group(G).verdict is LookVerdict.NO_INFORMATION
    with served() as plain:
        said = client(plain, str(authority.file)).look_at_group(G).text
    assert said == "not sent: TLS error: it does not speak TLS there"


@pytest.mark.parametrize("empty", ["ca.pem", "own.pem", "own.key"])
def test_a_file_that_is_empty_is_not_sent_with(
    server: Server, authority: Authority, tmp_path: Path, carrier: str, empty: str
) -> None:
    """So it is for a moment when somebody writes it anew in its place."""
    own = authority.sign("me", "DNS:me")
    for file, name in ((authority.file, "ca.pem"), (own.certificate, "own.pem"), (own.key, "own.key")):
        (tmp_path / name).write_bytes(b"" if name == empty else file.read_bytes())
    ca, *cert = (str(tmp_path / name) for name in ("ca.pem", "own.pem", "own.key"))
    host = called(replace(client(server, ca).host, cert=(cert[0], cert[1])))
    said = host.write(Action.CREATE, G, AttemptId("a1"), in_time(SystemClock(), 60))
    assert said.effect is Effect.NOT_APPLIED
    if carrier == "libcurl":
        assert said.text == "not sent: its ca_file, cert_file or key_file is empty"


@pytest.mark.parametrize("form", [["pkcs8", "-topk8"], ["ec", "-aes128"]], ids=["PKCS 8", "traditional"])
@pytest.mark.parametrize("together", [False, True], ids=["a file each", "one file"])
def test_a_key_with_a_passphrase_is_named_as_the_reason(
    server: Server, authority: Authority, tmp_path: Path, form: list[str], together: bool
) -> None:
    own, key = authority.sign("me", "DNS:me"), tmp_path / "own.key"
    command = ["openssl", *form, "-in", str(own.key), "-out", str(key), "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    cert = own.certificate
    if together:
        key.write_bytes(cert.read_bytes() + key.read_bytes())
        cert = key
    host = called(replace(client(server, str(authority.file)).host, cert=(str(cert), str(key))))
    said = host.write(Action.CREATE, G, AttemptId("a1"), in_time(SystemClock(), 60))
    assert (said.effect, said.text) == (
        Effect.NOT_APPLIED,
        "not sent: TLS error: its key_file is encrypted: take the passphrase off, with `openssl pkey`",
    )


def test_a_version_that_both_speak_is_missing(authority: Authority) -> None:
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with served(context) as running:
        said = client(running, str(authority.file)).look_at_group(G).text
    assert said == "not sent: TLS error: no version of TLS that both speak"


def test_nothing_is_sent_where_the_connection_took_longer_than_the_attempt_may_wait(
    authority: Authority, carrier: str
) -> None:
    """The host takes its time for the handshake; the guard is asked after it, as the last thing."""
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    late = threading.Event()
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            assert peer.recv(1, socket.MSG_PEEK), "the handshake has begun"
            late.set()
            with context.wrap_socket(peer, server_side=True) as secured:
                try:
                    received.append(secured.recv(65536))
                except ConnectionResetError:  # whoever closes has not read the session's tickets
                    received.append(b"")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        there = Host(HostName("n"), f"https://localhost:{listener.getsockname()[1]}", verify=False)
        clock = Mock(elapsed=lambda: 2.0 if late.is_set() else 0.0)
        said = HostClient(there, Settings(), carry).write(
            Action.CREATE, G, AttemptId("a1"), in_time(clock, 1.0)
        )
        assert late.is_set()
        thread.join(PATIENCE)
    assert (said.effect, said.text) == (Effect.NOT_APPLIED, "too late to send: the time to send had passed")
    assert received == [b""], "the handshake was done, and nothing came after it"
