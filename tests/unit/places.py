"""Where the rows of the table of answers are served: most in plain text, some over TLS, some nowhere."""

from __future__ import annotations

import atexit
import functools
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import HostName
from tests.integration.redis_servers.certificates import Authority, Signed
from tests.unit.answer_server import Answering, Say, answering
from tests.unit.frames import speaking
from tests.unit.raw_server import RawServer, serving

Place = tuple[Host, Callable[[], int]]
"""A host, and how many requests it has seen."""
At = Callable[[Answering, str, Say], AbstractContextManager[Place]]
"""Serves what a row says at a path, or has it served by the server of all that is in plain text."""
NAME = HostName("node1")
TRUSTED = "trusted"


@functools.cache
def authority(name: str) -> Authority:
    """Return an authority that lives as long as this process."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Authority(Path(folder.name) / name)


@functools.cache
def signed(name: str, by: str) -> Signed:
    """Return a certificate of a name, and its key."""
    return authority(by).sign(name, f"DNS:{name}")


def context() -> ssl.SSLContext:
    """Return what a server needs that is called localhost."""
    made, own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), signed("localhost", TRUSTED)
    made.load_cert_chain(own.certificate, own.key)
    return made


@contextmanager
def plain(server: Answering, path: str, _: Say) -> Iterator[Place]:
    """In plain text, by the server that all share."""
    yield Host(NAME, f"{server.url}/{path}"), lambda: server.asked[path]


def secured(
    options: Callable[[], dict[str, Any]] = dict,
    name: str = "localhost",
    prepare: Callable[[ssl.SSLContext], object] = lambda _: None,
) -> At:
    """Over TLS, by a server of its own: what its host's entry has beside, its name there, its context."""

    @contextmanager
    def served(_: Answering, path: str, say: Say) -> Iterator[Place]:
        prepare(made := context())
        with answering({path: say}, context=made) as server:
            url = f"https://{name}:{server.server_address[1]}/{path}"
            entry = {"verify": str(authority(TRUSTED).file), **options()}
            yield Host(NAME, url, **entry), lambda: server.asked[path]

    return served


def asks(made: ssl.SSLContext) -> None:
    """Ask for a certificate of ours, in TLS 1.2, in which it is judged before anything is sent."""
    made.load_verify_locations(authority(TRUSTED).file)
    made.verify_mode, made.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2


def old(made: ssl.SSLContext) -> None:
    """Speak no version of TLS that is still spoken."""
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3


def showing(name: str = "me", key: str = "me", by: str = TRUSTED) -> dict[str, Any]:
    """Show a certificate of ours."""
    return {"cert": (str(signed(name, by).certificate), str(signed(key, by).key))}


def empty() -> dict[str, Any]:
    """Trust a file that is empty."""
    (file := authority(TRUSTED).file.with_name("empty.pem")).touch()
    return {"verify": str(file)}


def locked() -> dict[str, Any]:
    """Show a certificate of ours whose key asks for a passphrase."""
    own = signed("me", TRUSTED)
    key = own.key.with_name("locked.key")
    told = ["-in", str(own.key), "-out", str(key), "-passout", "pass:secret"]
    subprocess.run(["openssl", "pkcs8", "-topk8", *told], check=True, capture_output=True)
    return {"cert": (str(own.certificate), str(key))}


@contextmanager
def handshaking(_: Answering, __: str, say: Say) -> Iterator[Place]:
    """Where that is done in the midst of the handshake, so that no request can be asked."""
    assert callable(say)
    do = say

    def behave(_: RawServer, peer: socket.socket) -> None:
        peer.recv(65536)
        do(peer)

    with serving(behave) as server:
        yield Host(NAME, server.url.replace("http:", "https:"), verify=False), lambda: 0


@contextmanager
def unsecured(server: Answering, path: str, _: Say) -> Iterator[Place]:
    """In plain text where TLS is expected."""
    url = f"{server.url}/{path}".replace("http:", "https:")
    yield Host(NAME, url), lambda: server.asked[path]


def elsewhere(url: Callable[[], str]) -> At:
    """Where no host is."""

    @contextmanager
    def nowhere(*_: object) -> Iterator[Place]:
        yield Host(NAME, url()), lambda: 0

    return nowhere


@contextmanager
def in_frames(_: Answering, __: str, say: Say) -> Iterator[Place]:
    """In HTTP/2, and HTTP/1.1 with who does not speak it."""
    assert isinstance(say, bytes)
    with speaking(context(), say) as server:
        yield Host(NAME, server.url, verify=str(authority(TRUSTED).file)), lambda: server.asked
