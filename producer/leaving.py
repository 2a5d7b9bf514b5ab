"""Sending a request and hanging up before it is answered, as a client that gives up does."""

from __future__ import annotations

import http.client
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from lockstep.worker.operation.host import Host
from lockstep.worker.settings import Settings


def send_and_leave(host: Host, settings: Settings, body: bytes, hold: float) -> float:
    """POST a body to the host's groups, and close the connection `hold` seconds after its last byte was sent.

    Returns when it was closed, by `time.monotonic`. Raises OSError if the request could not be sent.
    """
    parts = urlsplit(host.url)
    connection = _connection(host, parts.hostname or "", parts.port, settings.connect_timeout)
    try:
        headers = {"Content-Type": "application/json", **_authorization(host)}
        connection.request("POST", f"{parts.path}/v1/group/", body, headers)
        time.sleep(hold)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    return time.monotonic()


def _connection(host: Host, name: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if not host.url.startswith("https://"):
        return http.client.HTTPConnection(name, port, timeout=timeout)
    # The same authorities as for every other call: those of the file alone, or those of requests.
    trusted = host.verify if isinstance(host.verify, str) else DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context(cafile=trusted)
    if host.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if host.cert is not None:
        context.load_cert_chain(*host.cert, password=lambda: "")
    return http.client.HTTPSConnection(name, port, timeout=timeout, context=context)


def _authorization(host: Host) -> dict[str, str]:
    if host.token_file is None:
        return {}
    return {"Authorization": f"Bearer {Path(host.token_file).read_text('utf-8').strip()}"}
