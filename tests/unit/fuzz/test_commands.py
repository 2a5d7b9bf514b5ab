"""Every command with any words ends with a line and an exit code of ours."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockstep.producer.cli import main
from lockstep.producer.cli.app import lockstep as command
from lockstep.producer.cli.exits import Exit
from tests.unit.fuzz.test_fuzz import environment, fuzz, in_time, no_nul, variables

NO_END = {"watch", "probe"}
"""These wait for Redis, or ask hosts, for as long as they are let."""
words = no_nul | st.sampled_from(["team-a", "node1", "1", "-1", "--", "-", "all", "@", "é", "../x", "9" * 30])


def _lines(each: click.Command) -> st.SearchStrategy[list[str]]:
    flags = [flag for param in each.params for flag in param.opts if flag.startswith("-")]
    option = st.sampled_from(flags).flatmap(
        lambda flag: st.tuples(st.just(flag)) | st.tuples(st.just(flag), words)
    )
    parts = st.lists(option | st.tuples(words), max_size=5)
    return parts.map(lambda given: [str(each.name), *(word for part in given for word in part)])


lines = st.one_of(
    [_lines(each) for name, each in sorted(command.commands.items()) if name not in NO_END]
) | st.lists(words, max_size=3)


@pytest.fixture(scope="module")
def unconnected() -> Iterator[list[object]]:
    """Nothing answers anywhere; what was to be connected to."""
    asked: list[object] = []

    def refuse(_: socket.socket, address: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield asked


@fuzz
@given(arguments=lines, variables=st.just({}) | variables)
@example(arguments=["apply", "-"], variables={})
def test_a_command_ends_with_a_line(
    unconnected: list[object],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    variables: dict[str, str],
) -> None:
    arguments = [word for word in arguments if word not in ("--debug", "--follow", "--watch")]
    with environment(
        {"LOCKSTEP_REDIS_URL": "redis://127.0.0.1:1/0", "LOCKSTEP_HOSTS": "http://node1:1", **variables}
    ):
        capsys.readouterr()
        with in_time(), Path(os.devnull).open() as nothing, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", nothing)  # pytest's own is no file, as that of a command is
            code = main(arguments)
        said = capsys.readouterr()
    assert code in {each.value for each in Exit}
    assert code != Exit.BUG, said.err
    assert "Traceback" not in said.out + said.err
