"""Hosts over TLS: certificates are verified, whatever carries the calls."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lockstep.worker.hosts import direct, pooled
from lockstep.worker.hosts.client import HostClient
from lockstep.worker.hosts.direct import carrier
from lockstep.worker.hosts.guard import Exchange
from lockstep.worker.operation.answer import Probed, Verdict
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import Action, AttemptId, GroupId, HostName
from lockstep.worker.settings import Settings
from tests.integration.redis_servers.certificates import Authority

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
G = GroupId("g")
UNTRUSTED = "TLS error: its certificate is of an authority that is not trusted"


class Node(BaseHTTPRequestHandler):
    """Holds nothing, and takes every group."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Counts the connections that were accepted."""

    daemon_threads = True
    accepted = 0

    def process_request(self, *args: Any) -> None:
        self.accepted += 1
        super().process_request(*args)

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust the certificate hangs up."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trusted") / "authority")


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    with Server(("127.0.0.1", 0), Node) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join(10)


@pytest.fixture(params=[pooled, direct], ids=["pooled", "direct"], autouse=True)
def exchange(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    before = carrier.set(request.param.exchange)
    yield request.param.exchange
    carrier.reset(before)


def client(server: Server, verify: bool | str) -> HostClient:
    url = f"https://localhost:{server.server_port}"
    return HostClient(Host(HostName("node1"), url, verify=verify), Settings())


def write(host: HostClient) -> Verdict:
    return host.write(Action.CREATE, G, AttemptId("a1"), host.clock.elapsed() + 60).verdict


def test_a_certificate_of_the_authority_is_trusted_and_one_connection_serves(
    server: Server, authority: Authority
) -> None:
    host = client(server, str(authority.file))
    assert host.probe(G).probed is Probed.SEEN
    assert write(host) is Verdict.APPLIED
    assert server.accepted == 1


@pytest.mark.parametrize("stranger", [True, False], ids=["another authority", "the system's"])
def test_a_certificate_of_a_stranger_is_not(server: Server, tmp_path: Path, stranger: bool) -> None:
    host = client(server, str(Authority(tmp_path / "stranger").file) if stranger else True)
    answer = host.write(Action.CREATE, G, AttemptId("a1"), host.clock.elapsed() + 60)
    assert (answer.verdict, answer.text) == (
        Verdict.NOT_APPLIED,
        "not sent: TLS error: its certificate is of an authority that is not trusted",
    )
    assert host.probe(G).probed is Probed.NO_INFORMATION


def test_without_verification_any_certificate_does(server: Server) -> None:
    assert write(client(server, False)) is Verdict.APPLIED


def test_an_authority_that_was_replaced_is_read_again(
    server: Server, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    shutil.copy(Authority(tmp_path / "old").file, file)
    host = client(server, str(file))
    assert host.probe(G).text == f"not sent: {UNTRUSTED}"
    fresh = tmp_path / "fresh.pem"
    shutil.copy(authority.file, fresh)
    fresh.replace(file)
    assert host.probe(G).probed is Probed.SEEN


def test_a_certificate_of_ours_is_shown_and_read_again_when_it_is_replaced(
    authority: Authority, tmp_path: Path
) -> None:
    """The node asks for one, in TLS 1.2, in which it says so before anything is sent."""
    own = authority.sign("localhost", "DNS:localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    cert, key = tmp_path / "own.pem", tmp_path / "own.key"
    with Server(("127.0.0.1", 0), Node) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        url = f"https://localhost:{running.server_port}"
        without = Host(HostName("node1"), url, verify=str(authority.file))
        host = HostClient(replace(without, cert=(str(cert), str(key))), Settings())

        assert HostClient(without, Settings()).probe(G).probed is Probed.NO_INFORMATION
        assert host.probe(G).text.startswith("not sent: ")  # no such file
        for signed, taken in (
            (Authority(tmp_path / "stranger").sign("me", "DNS:me"), False),
            (authority.sign("me", "DNS:me"), True),
        ):
            for old, new in ((signed.certificate, cert), (signed.key, key)):
                shutil.copy(old, tmp_path / "fresh")
                (tmp_path / "fresh").replace(new)
            assert (host.probe(G).probed is Probed.SEEN) is taken
        shutil.copy(own.key, key)
        if carrier.get() is direct.exchange:
            direct._idle.clear()
            said = "not sent: TLS error: its cert_file and key_file do not belong together"
            assert host.probe(G).text == said
        running.shutdown()


def test_the_reason_is_named(server: Server, authority: Authority, tmp_path: Path) -> None:
    port = server.server_port
    other = HostClient(
        Host(HostName("n"), f"https://127.0.0.1:{port}", verify=str(authority.file)), Settings()
    )
    assert other.probe(G).text == "not sent: TLS error: its certificate is for another name"
    assert client(server, str(tmp_path / "gone.pem")).probe(G).probed is Probed.NO_INFORMATION
    with Server(("127.0.0.1", 0), Node) as plain:
        thread = threading.Thread(target=plain.serve_forever, args=(0.01,))
        thread.start()
        try:
            said = client(plain, str(authority.file)).probe(G).text
        finally:
            plain.shutdown()
            thread.join(10)
    assert said == "not sent: TLS error: it does not speak TLS there"


def test_a_version_that_both_speak_is_missing(authority: Authority) -> None:
    signed = authority.sign("localhost", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with Server(("127.0.0.1", 0), Node) as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            said = client(running, str(authority.file)).probe(G).text
        finally:
            running.shutdown()
            thread.join(10)
    assert said == "not sent: TLS error: no version of TLS that both speak"
