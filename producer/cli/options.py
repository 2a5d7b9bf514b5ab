"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import click

from producer.cli.exits import Exit
from producer.cli.session import Session

P = ParamSpec("P")
R = TypeVar("R")

pass_session = click.make_pass_decorator(Session)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What create and delete were given besides the group."""

    hosts: str | None
    wait: bool
    timeout: float | None
    operation_id: str | None
    deadline: float | None
    created_by: str | None
    as_json: bool

    @property
    def host_names(self) -> list[str] | None:
        """The names, an empty list for none, None for all of the inventory."""
        if self.hosts is None:
            return None
        return [name.strip() for name in self.hosts.split(",")] if self.hosts.strip() else []


def _set_debug(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.ensure_object(Session).debug = True


def debug_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add --debug, which every level of the command takes."""
    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_debug,
        help="Print tracebacks with errors.",
    )(function)


def json_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document (fields: docs/cli.md)."
    )(function)


def wait_options(function: Callable[[Session, str, Wanted], Exit]) -> Callable[..., Exit]:
    """Add the options of create and delete, handed over as one Wanted."""

    @functools.wraps(function)
    def collected(session: Session, group: str, **options: object) -> Exit:
        return function(session, group, Wanted(**options))  # type: ignore[arg-type]

    added: Callable[..., Exit] = collected
    for option in reversed(
        (
            click.option(
                "--hosts",
                metavar="A,B",
                help="Names of hosts, separated by commas.  [default: all of the inventory]",
            ),
            click.option(
                "--wait/--no-wait", default=True, show_default=True, help="Wait until it is done or undone."
            ),
            click.option(
                "--timeout",
                type=float,
                metavar="SECONDS",
                help="Give up waiting after so long; the operation goes on.  [default: never]",
            ),
            click.option(
                "--id",
                "operation_id",
                metavar="ID",
                help="The operation's id: with it, repeating the command is harmless.  [default: random]",
            ),
            click.option(
                "--deadline",
                type=float,
                metavar="SECONDS",
                help="Roll back unless every host is done so soon.  [default: LOCKSTEP_DEADLINE, 300]",
            ),
            click.option("--as", "created_by", metavar="NAME", help="Who asks.  [default: user@host]"),
            json_option,
            debug_option,
        )
    ):
        added = option(added)
    return added
