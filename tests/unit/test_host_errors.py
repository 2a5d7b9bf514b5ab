"""What a look comes to when it fails before anything was sent."""

from __future__ import annotations

import ssl

import pytest
import requests
import responses

from lockstep.worker.operation.answer import Probed
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
        assert client().probe(G).probed is Probed.NO_INFORMATION


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (9, "its certificate is not valid yet"),
        (10, "its certificate has expired"),
        (18, "its certificate is of an authority that is not trusted"),
        (20, "its certificate is of an authority that is not trusted"),
        (62, "its certificate is for another name"),
    ],
)
def test_a_certificate_that_is_not_accepted_says_why(code: int, why: str) -> None:
    error = ssl.SSLCertVerificationError("bad certificate")
    error.verify_code = code
    with responses.RequestsMock() as web:
        web.add("GET", f"{GROUPS}g/", body=error)
        assert client().probe(G).text == f"not sent: TLS error: {why}"
