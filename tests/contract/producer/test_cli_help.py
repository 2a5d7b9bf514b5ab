"""What the command says of itself: its help, its version, and where it was called wrongly."""

from __future__ import annotations

import re

import pytest
from click import NoSuchOption

from lockstep.producer.cli import app, main

NO_SUCH = NoSuchOption("--as", possibilities=["--json"])
"""Releases of click quote it otherwise."""


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lockstep {version('lockstep')}\n"


def test_alone_it_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    alone = capsys.readouterr()
    assert main(["--help"]) == 0
    assert alone == capsys.readouterr()
    assert alone.out.startswith("Usage: lockstep ")


@pytest.mark.parametrize("command", sorted(app.lockstep.commands))
def test_help_names_every_command_once_with_its_whole_summary(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(["--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    summary = " ".join((app.lockstep.commands[command].help or "").partition(".")[0].split())
    assert said.count(f" {command} {summary}.") == 1


@pytest.mark.parametrize("command", sorted(app.lockstep.commands))
def test_every_command_has_help_with_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"Usage: lockstep {command} " in said
    assert f"  lockstep {command} " in said.partition("Examples:")[2]
    assert {"--json", "--debug", "--help"} <= set(re.findall(r"--[a-z-]+", said))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create"], "Missing argument 'GROUP|KIND/ID'; see `lockstep create --help`"),
        (
            ["repair", "team-a"],
            "Missing option '--to'. Choose from: absent, present; see `lockstep repair --help`",
        ),
        (["xyzzy"], "No such command 'xyzzy'; see `lockstep --help`"),
        (["list", "--as"], f"{NO_SUCH.format_message()} See `lockstep list --help`"),
    ],
)
def test_bad_usage_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"lockstep: error: {message}\n")
