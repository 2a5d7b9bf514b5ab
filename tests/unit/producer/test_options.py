"""Every option of every command, as `options.txt` beside this file lists them, and what some are read as."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from lockstep.producer.cli.app import lockstep
from lockstep.producer.cli.options import FieldOptions, Selection, read_given
from lockstep.worker.operation.errors import InvalidInput

TOLD = ("is_flag", "multiple", "required", "is_eager", "show_default")


def lines(command: click.Command, name: str) -> Iterator[str]:
    """Yield a line for a command, and one for each option."""
    yield name
    for each in command.params:
        if isinstance(each, click.Option):
            usage = " ".join(filter(None, ["/".join([*each.opts, *each.secondary_opts]), each.metavar]))
            between = f" {each.type.min}..{each.type.max}" if isinstance(each.type, click.IntRange) else ""
            how = [each.type.name + between, *(fact for fact in TOLD if getattr(each, fact))]
            default = f" [{each.default}]" if each.show_default else ""
            kept = "" if each.expose_value else ", of the session"
            yield f"  {usage} ({', '.join(how)}{kept}){default}: {each.help}"
    if isinstance(command, click.Group):
        for below, found in sorted(command.commands.items()):
            yield from lines(found, f"{name} {below}")


def test_every_option_is_as_it_is_listed() -> None:
    listed = (Path(__file__).parent / "options.txt").read_text("utf-8")
    assert "\n".join(lines(lockstep, "lockstep")) + "\n" == listed


@pytest.mark.parametrize(
    ("sets", "name", "told"),
    [
        (("a=1", "b=x=y"), "vhost/a", {"a": "1!", "b": "x=y!"}),
        (("a",), "vhost/a", '--set "a" has no value: write field=value'),
        (("a=1",), "team-a", '"team-a" names no kind, and a group has no fields: give KIND/ID'),
        (("a=1", "a=2"), "vhost/a", '--set "a" is given twice: write a list as a=a,b'),
    ],
)
def test_fields_are_read_from_the_command_line(
    sets: tuple[str, ...], name: str, told: str | dict[str, str]
) -> None:
    kind = SimpleNamespace(read=lambda field, value: f"{value}!")
    client: Any = SimpleNamespace(thing=lambda _: (kind, None))
    if isinstance(told, dict):
        assert FieldOptions(sets).given(client, name) == told
    else:
        with pytest.raises(InvalidInput, match=re.escape(told)):
            FieldOptions(sets).given(client, name)


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hush")
    assert FieldOptions(secrets=(f"pin=@{tmp_path}/a",)).hidden() == {"pin": "hush"}
    for wrong in ("pin", "pin=hush", f"pin={tmp_path}/a"):
        with pytest.raises(InvalidInput, match='--secret "pin" names no file') as refused:
            FieldOptions(secrets=(wrong,)).hidden()
        assert "hush" not in str(refused.value)


def test_a_file_or_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("one: 1\n")
    (tmp_path / "b").write_text("- 1\n")
    client: Any = SimpleNamespace()
    assert FieldOptions(file=str(tmp_path / "a")).given(client, "vhost/a") == {"one": 1}
    with pytest.raises(InvalidInput, match="has no fields: write one `name: value` a line"):
        FieldOptions(file=str(tmp_path / "b")).given(client, "vhost/a")
    with (tmp_path / "a").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        assert read_given("-") == "one: 1\n"
    monkeypatch.setattr(sys, "stdin", None)
    assert read_given(str(tmp_path / "a")) == "one: 1\n"
    with pytest.raises(InvalidInput, match='file "-" cannot be read: standard input is closed'):
        read_given("-")


def test_hosts_are_selected_as_they_are_named() -> None:
    client: Any = SimpleNamespace(select=lambda hosts, *, where, except_: repr((hosts, where, except_)))
    assert Selection().names(client) is None
    assert Selection("a, b").names(client) == "(['a', 'b'], (), ())"
    assert Selection(where=("zone=eu",)).names(client) == "(None, ('zone=eu',), ())"
    assert Selection(excepted="c").names(client) == "(None, (), ['c'])"
    for empty in ("", " "):
        with pytest.raises(InvalidInput, match="--except is empty"):
            Selection(excepted=empty).names(client)
