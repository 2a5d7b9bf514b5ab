"""A name that nobody resolves in time: the wait counts as time of the call, in which nothing was sent."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waits import PATIENCE

RESOLVER = "127.53.0.1"
CALL = """
import time
from lockstep.worker.hosts import curl
from lockstep.worker.hosts.client import Call
from lockstep.worker.operation.host import Host
from lockstep.worker.settings import Settings
began = time.monotonic()
patient = Settings().but(connect_timeout=60.0, read_timeout=60.0)
said = curl.exchange(Call(
    "POST", "/v1/group/", {}, b"{}", host=Host("n", "http://slow.example:80"), settings=patient,
    ends=began + 0.5, may_send=lambda: True, stopping=lambda: False,
))
print(said.trouble.name, said.detail, time.monotonic() - began < 20, sep="|")
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"),
    reason="no container can be run here",
)
def test_a_slow_resolver_is_given_up_within_the_time_of_the_call(tmp_path: Path) -> None:
    """The child sees a resolver that takes questions and never answers; it would be asked for 30 s."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:30 attempts:1\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    mounts = [f"mount --bind {tmp_path}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf")]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        try:
            resolver.bind((RESOLVER, 53))
            tried = subprocess.run(["unshare", "-m", "sh", "-c", " && ".join(mounts)], check=False)
        except OSError:
            pytest.skip("no container can be run here")
        if tried.returncode:
            pytest.skip("no container can be run here")
        command = " && ".join([*mounts, 'exec "$0" -c "$1"'])
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", command, sys.executable, CALL],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout == "NOT_SENT|name not resolved|True\n"
        assert resolver.recv(512), "it was asked"
