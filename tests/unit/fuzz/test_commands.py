"""Every command with any words ends with a line and an exit code of ours."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockstep.producer.cli import main
from lockstep.producer.cli.app import lockstep as command
from lockstep.producer.cli.exits import Exit
from tests.unit.fuzz.test_fuzz import environment, fuzz, in_time, no_nul, variables

TRIES = 6
"""Ctrl-C comes at one of so many tries to connect; one reading of the record makes five."""
words = no_nul | st.sampled_from(["team-a", "node1", "1", "-1", "--", "-", "all", "@", "é", "../x", "9" * 30])


def _lines(each: click.Command) -> st.SearchStrategy[list[str]]:
    flags = [flag for param in each.params for flag in param.opts if flag.startswith("-")]
    option = st.sampled_from(flags).flatmap(
        lambda flag: st.tuples(st.just(flag)) | st.tuples(st.just(flag), words)
    )
    parts = st.lists(option | st.tuples(words), max_size=5)
    return parts.map(lambda given: [str(each.name), *(word for part in given for word in part)])


lines = st.one_of([_lines(each) for _, each in sorted(command.commands.items())]) | st.lists(
    words, max_size=3
)


@dataclass
class Network:
    """Nothing answers anywhere, and Ctrl-C comes as a connection is tried for the last time."""

    left: int = 0

    def refuse(self, *_: object) -> None:
        """Stand in for `socket.connect`."""
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        raise ConnectionRefusedError(111, "Connection refused")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = Network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", made.refuse)
        yield made


@fuzz
@given(arguments=lines, variables=st.just({}) | variables, tries=st.integers(1, TRIES))
@example(arguments=["apply", "-"], variables={}, tries=TRIES)
@example(arguments=["watch", "7f3c81d2aa01"], variables={}, tries=TRIES)
@example(arguments=["watch", "--debug"], variables={}, tries=TRIES)
@example(arguments=["probe", "node1", "--watch", "1", "--debug"], variables={}, tries=TRIES)
def test_a_command_ends_with_a_line(
    network: Network,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    variables: dict[str, str],
    tries: int,
) -> None:
    network.left = tries
    with environment(
        {"LOCKSTEP_REDIS_URL": "redis://127.0.0.1:1/0", "LOCKSTEP_HOSTS": "http://node1:1", **variables}
    ):
        capsys.readouterr()
        with in_time(), Path(os.devnull).open() as nothing, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", nothing)  # pytest's own is no file, as that of a command is
            code = main(arguments)
        network.left = 0  # for whatever tries on behind it
        said = capsys.readouterr()
    assert code in {each.value for each in Exit}
    assert code != Exit.BUG, said.err
    shown = "" if "--debug" in arguments else said.err  # it asks for tracebacks there
    assert "Traceback" not in said.out + shown
