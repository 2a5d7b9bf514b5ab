"""The list of commands in `lockstep --help`: by what they are for, none of it cut short."""

from __future__ import annotations

import click

UNCUT = 200
"""Characters; longer than any summary."""


class Families(click.Group):
    """A group of commands that knows them by families."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.families: dict[str, tuple[click.Command, ...]] = {}

    def add_family(self, title: str, *commands: click.Command) -> None:
        """Add commands that are listed together, in this order, under a title."""
        self.families[title] = commands
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each family as a section, all of them with the same columns."""
        width = max(map(len, self.commands))
        for title, commands in self.families.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{each.name:{width}}", each.get_short_help_str(UNCUT)) for each in commands]
                )
