"""Ctrl-C while hosts are looked at that do not answer: the terminal is there at once."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Sequence

import pytest

from tests.waits import PATIENCE
from tests.warm import Piped

LONGEST = 2 * PATIENCE
"""Seconds that a look may take: more than it takes for a test to fail."""
HOSTS = 3


@pytest.fixture
def silent(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Some hosts, behind one socket, that take what is asked and say nothing."""
    for name in ("READ_TIMEOUT", "CALL_TIMEOUT", "SETTLE_SECONDS"):
        monkeypatch.setenv(f"LOCKSTEP_{name}", str(LONGEST))
    monkeypatch.setenv("LOCKSTEP_VISIBILITY_TIMEOUT", str(5 * LONGEST))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        urls = ",".join(f"http://127.0.0.{number}:{port}" for number in range(1, HOSTS + 1))
        monkeypatch.setenv("LOCKSTEP_HOSTS", urls)
        yield listener


@pytest.mark.parametrize(
    "arguments",
    [["hosts"], ["drift", "team-a"], ["doctor"], ["create", "team-a", "--preflight"]],
    ids=lambda given: given[0],
)
def test_ctrl_c_while_hosts_are_looked_at_ends_the_command_at_once(
    silent: socket.socket, arguments: Sequence[str]
) -> None:
    with Piped("lockstep", *arguments) as process:
        silent.settimeout(PATIENCE)
        peer, _ = silent.accept()
        with peer:
            assert peer.recv(1), "a host is asked"
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
