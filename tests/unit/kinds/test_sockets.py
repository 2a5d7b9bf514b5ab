"""What leaves, byte for byte, over each carrier: requests of kinds, with ids that ask for trouble."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest

from lockstep.producer import looks
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Carry, HostClient
from lockstep.worker.kinds.kind import Verb
from lockstep.worker.operation.content import Effect, Sight
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.host import Auth, Host
from lockstep.worker.operation.model import AttemptId, HostName
from lockstep.worker.process.secrets import mask
from lockstep.worker.settings import Settings
from tests.unit.kinds.made import HOSTILE, kind_of, shipped, thing
from tests.unit.raw_server import RawServer, serving

EVERY = kind_of("""
kind: every
id: {pattern: ".{1,1000}"}
look: {request: "GET /x/{id}/y", query: {q: id.id}}
create: {request: "POST /x/{id}", json: {id: id.id}}
delete: {request: "DELETE /x/{id}", form: {id: id.id}}
""")
ATTEMPT = AttemptId("a1")
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"name": "a"}'
ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def answering(server: RawServer, peer: socket.socket) -> None:
    """Answer every request over a connection; what is `gone` is absent."""
    while got := server.request(peer):
        peer.sendall(ABSENT if b"gone" in got.partition(b"\r\n")[0] else ANSWER)


@pytest.fixture(params=[curl.exchange, looks.exchange], ids=["curl", "requests"])
def carry(request: pytest.FixtureRequest) -> Carry:
    found: Carry = request.param
    return found


@pytest.fixture
def server() -> Iterator[RawServer]:
    with serving(answering) as made:
        yield made


def client(server: RawServer, carry: Carry, auth: Auth | None = None) -> HostClient:
    return HostClient(Host(HostName("n"), server.url, auth=auth), Settings(), carry)


def requests_in(received: bytearray) -> list[tuple[str, bytes]]:
    """The first line and the body of each request."""
    found, left = [], bytes(received)
    while left:
        head, _, rest = left.partition(b"\r\n\r\n")
        lengths = [
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        length = lengths[0] if lengths else 0
        found.append((head.partition(b"\r\n")[0].decode("ascii"), rest[:length]))
        left = rest[length:]
    return found


def test_every_id_leaves_as_it_was_encoded_to_no_other_place(server: RawServer, carry: Carry) -> None:
    wanted, host = [], client(server, carry)
    for value in HOSTILE:
        one, encoded = thing(EVERY, quote(value, safe="")), quote(value, safe="")
        assert host.look_at_thing(EVERY, one).sight is Sight.CONTENT
        wanted.append((f"GET /x/{encoded}/y?q={encoded} HTTP/1.1", b""))
        for verb, line, body in (
            ("create", f"POST /x/{encoded} HTTP/1.1", json.dumps({"id": value}).encode()),
            ("delete", f"DELETE /x/{encoded} HTTP/1.1", f"id={encoded}".encode()),
        ):
            asked = EVERY.request("create" if verb == "create" else "delete", one)
            said = host.send(
                EVERY, "create" if verb == "create" else "delete", one, asked, ATTEMPT, lambda: True
            )
            assert said.effect is Effect.APPLIED
            wanted.append((line, body))
    assert requests_in(server.received) == wanted


def test_every_id_leaves_so_in_a_text_a_header_and_another_language(server: RawServer, carry: Carry) -> None:
    kind, host = (
        kind_of("""
            kind: other
            id: {pattern: "(?s).{1,1000}"}
            look: GET /x/{id}
            create: {request: POST /text, text: id.id}
            update: {request: POST /query, form: {q: "concat('DROP ', quote(id.id))"}}
            delete: {request: DELETE /header, headers: {X-Id: id.id}}
        """),
        client(server, carry),
    )
    verbs: tuple[Verb, ...] = ("create", "update", "delete")
    for value in HOSTILE:
        one = thing(kind, quote(value, safe=""))
        for verb in verbs if value.isascii() else verbs[:2]:
            server.received.clear()
            said = host.send(kind, verb, one, kind.request(verb, one), ATTEMPT, lambda: True)
            assert said.effect is Effect.APPLIED
            head, _, body = bytes(server.received).partition(b"\r\n\r\n")
            if verb == "create":
                assert body == value.encode()
            elif verb == "update":
                inside = value.replace("\\", "\\\\").replace('"', '\\"')
                assert parse_qs(body.decode("ascii"), strict_parsing=True) == {"q": [f'DROP "{inside}"']}
            else:
                assert f"X-Id: {value}".encode() in head.split(b"\r\n")
    server.received.clear()
    for value in ("..", ".", "a\nb", "a\0b", "a\r\nX-Id: b"):
        with pytest.raises(InvalidInput):
            thing(kind, quote(value, safe=""))
    assert server.received == b"", "nothing leaves of what no server may be asked"


def test_an_absence_is_asked_of_its_witness_and_a_presence_is_not(server: RawServer, carry: Carry) -> None:
    vhost, host = shipped("rabbitmq-vhost"), client(server, carry)
    assert host.look_at_thing(vhost, thing(vhost, "gone")).sight is Sight.ABSENT
    assert host.look_at_thing(vhost, thing(vhost, "a")).sight is Sight.CONTENT
    lines = [line for line, _ in requests_in(server.received)]
    assert lines == [
        "GET /api/vhosts/gone HTTP/1.1",
        "GET /api/whoami HTTP/1.1",
        "GET /api/vhosts/a HTTP/1.1",
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_write_without_a_body_says_so_once(server: RawServer, carry: Carry, method: str) -> None:
    kind = kind_of(f"""
        kind: bare
        id: {{pattern: ".+"}}
        look: GET /x/{{id}}
        create: {method} /x/{{id}}
        delete: DELETE /x/{{id}}
    """)
    one = thing(kind)
    client(server, carry).send(kind, "create", one, kind.request("create", one), ATTEMPT, lambda: True)
    head = bytes(server.received).lower()
    assert head.endswith(b"\r\n\r\n"), "no body"
    assert (head.count(b"content-"), head.count(b"\r\ncontent-length: 0\r\n")) == (1, 1)


def test_a_write_that_comes_too_late_does_not_leave(server: RawServer, carry: Carry) -> None:
    one = thing(EVERY)
    said = client(server, carry).send(
        EVERY, "delete", one, EVERY.request("delete", one), ATTEMPT, lambda: False
    )
    assert said.effect is Effect.NOT_SENT
    assert server.received == b""


@pytest.mark.parametrize(
    ("made", "content", "line"),
    [
        (lambda file: Auth(file, basic=True), "guest:pä:ss-word\n", "Authorization: Basic "),
        (lambda file: Auth(file, "X-API-Key"), "sesame-open\n", "X-API-Key: sesame-open"),
    ],
)
def test_credentials_are_read_for_each_call_and_masked(
    server: RawServer, carry: Carry, tmp_path: Path, made: type[Auth], content: str, line: str
) -> None:
    file = tmp_path / "login"
    file.write_text(content)
    host = client(server, carry, made(str(file)))
    assert host.look_at_thing(EVERY, thing(EVERY)).sight is Sight.CONTENT
    text = content.strip()
    line += base64.b64encode(text.encode()).decode() if line.endswith("Basic ") else ""
    assert f"\r\n{line}\r\n".encode() in server.received
    assert text not in mask(text)
    assert mask(line.rpartition(" ")[2]) == "…"
    file.write_text("")
    shown = host.look_at_thing(EVERY, thing(EVERY))
    assert (shown.sight, "auth file of n is empty" in shown.text) == (Sight.NOTHING, True)
