"""Every option of every command, as click was told of it: `options.txt` beside this file lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from lockstep.producer.cli.app import lockstep

TOLD = ("is_flag", "multiple", "required", "is_eager", "show_default")


def lines(command: click.Command, name: str) -> Iterator[str]:
    """Yield a line for a command, and one for each option."""
    yield name
    for each in command.params:
        if isinstance(each, click.Option):
            usage = " ".join(filter(None, ["/".join([*each.opts, *each.secondary_opts]), each.metavar]))
            how = [each.type.name, *(fact for fact in TOLD if getattr(each, fact))]
            default = f" [{each.default}]" if each.show_default else ""
            kept = "" if each.expose_value else ", of the session"
            yield f"  {usage} ({', '.join(how)}{kept}){default}: {each.help}"
    if isinstance(command, click.Group):
        for below, found in sorted(command.commands.items()):
            yield from lines(found, f"{name} {below}")


def test_every_option_is_as_it_is_listed() -> None:
    listed = (Path(__file__).parent / "options.txt").read_text("utf-8")
    assert "\n".join(lines(lockstep, "lockstep")) + "\n" == listed
