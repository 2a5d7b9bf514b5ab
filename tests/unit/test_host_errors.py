"""What a look comes to when it fails before anything was sent."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import responses

from lockstep.worker.hosts.client import LOCKED_KEY, NoTLS
from lockstep.worker.operation.answer import LookVerdict, NoReply, Trouble
from lockstep.worker.operation.content import Effect
from tests.unit.client import URL, G, client, write

pytestmark = pytest.mark.usefixtures("by_requests")

GROUPS = f"{URL}/v1/group/"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (requests.ConnectionError("no route"), "connection error"),
        (requests.ConnectTimeout("too slow"), "connect timeout"),
        (requests.exceptions.SSLError("bad certificate"), "TLS error"),
        (ConnectionRefusedError("refused"), "connection refused"),
        (OSError("no route"), "connection error"),
        (TimeoutError("too slow"), "connect timeout"),
        (ssl.SSLCertVerificationError("bad certificate"), "TLS error"),
    ],
)
def test_an_error_of_requests_is_not_applied(error: Exception, text: str) -> None:
    with responses.RequestsMock() as web:
        web.add("POST", GROUPS, body=error)
        web.add("GET", f"{GROUPS}g/", body=error)
        answer = write(client())
        assert (answer.effect, answer.text) == (Effect.NOT_APPLIED, f"not sent: {text}")
        assert client().look_at_group(G).verdict is LookVerdict.NO_INFORMATION


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (9, "its certificate is not valid yet"),
        (10, "its certificate has expired"),
        *((code, "its certificate is of an authority that is not trusted") for code in (18, 19, 20, 21)),
        *((code, "its certificate is for another name") for code in (62, 64)),
    ],
)
def test_a_certificate_that_is_not_accepted_says_why(code: int, why: str) -> None:
    error = ssl.SSLCertVerificationError("bad certificate")
    error.verify_code = code
    with responses.RequestsMock() as web:
        web.add("GET", f"{GROUPS}g/", body=error)
        assert client().look_at_group(G).text == f"not sent: TLS error: {why}"


def test_an_encrypted_key_is_the_reason_in_whatever_words_tls_fails(tmp_path: Path) -> None:
    key = tmp_path / "own.key"
    key.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    host = client().host
    reworded = NoReply(Trouble.NOT_SENT, str.__new__(NoTLS, "no handshake"))
    locked = replace(client(), host=replace(host, cert=("own.pem", str(key))), carry=lambda _: reworded)
    assert locked.look_at_group(G).text == f"not sent: {LOCKED_KEY}"
    assert replace(locked, host=host).look_at_group(G).text == "not sent: no handshake"
