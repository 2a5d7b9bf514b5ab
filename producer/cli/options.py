"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import show
from lockstep.worker.operation.waves import Pace
from lockstep.worker.settings.environment import read_text

if TYPE_CHECKING:
    from lockstep.producer.client.client import ClusterClient

Command = Callable[..., Exit]
F = TypeVar("F", bound=Callable[..., Any] | click.Command)
Adds = Callable[[Command], Command]
"""Adds options to a command."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which hosts are meant: --hosts, --where and --except."""

    hosts: str | None = None
    where: tuple[str, ...] = ()
    excepted: str | None = None

    def names(self, cluster: ClusterClient) -> Sequence[str] | None:
        """Return the names of the hosts, None for all of the inventory. Raises InvalidInput."""
        if self.hosts is None and not self.where and self.excepted is None:
            return None
        excepted = () if self.excepted is None else split_names(self.excepted)
        if self.excepted is not None and not excepted:
            raise InvalidInput("--except is empty: name at least one host, or leave it out")
        hosts = None if self.hosts is None else split_names(self.hosts)
        return cluster.select(hosts, where=self.where, except_=excepted)


def split_names(text: str) -> list[str]:
    """Return names that commas separate; an empty list for none."""
    return [name.strip() for name in text.split(",")] if text.strip() else []


def read_given(file: str) -> str:
    """Return the text of a file, or of standard input if it is called `-`. Raises InvalidInput."""
    if file == "-" and sys.stdin is None:
        raise InvalidInput('file "-" cannot be read: standard input is closed')
    return read_text(f"file {show(file)}", sys.stdin.fileno() if file == "-" else file)


@dataclass(frozen=True, slots=True)
class FieldOptions:
    sets: tuple[str, ...] = ()
    file: str | None = None
    accept_loss: bool = False
    upsert: bool = False
    secrets: tuple[str, ...] = ()

    def hidden(self) -> dict[str, str]:
        """Return the texts of --secret by field. Raises InvalidInput, with nothing of the files."""
        found = {}
        for each in self.secrets:
            from lockstep.producer.operators.batch import read_secret

            field, equals, path = each.partition("=")
            if not equals or not path.startswith("@"):
                rule = "names no file: write field=@FILE, for a command line is seen by others"
                raise InvalidInput(f"--secret {show(field)} {rule}")
            found[field] = read_secret(f"the file of --secret {show(field)}", path[1:])
        return found

    def given(self, cluster: ClusterClient, name: str) -> dict[str, object]:
        """Return the fields by name: those of the file, then those of --set. Raises InvalidInput."""
        found: dict[str, object] = {}
        seen: set[str] = set()
        if self.file is not None:
            from lockstep.worker.settings.plainyaml import parse_plain

            document = parse_plain(f"file {show(self.file)}", read_given(self.file))
            if not isinstance(document, dict):
                raise InvalidInput(f"file {show(self.file)} has no fields: write one `name: value` a line")
            found |= document
        for each in self.sets:
            field, equals, value = each.partition("=")
            if not equals:
                raise InvalidInput(f"--set {show(each)} has no value: write field=value")
            if "/" not in name:
                raise InvalidInput(f"{show(name)} names no kind, and a group has no fields: give KIND/ID")
            if field in seen:
                raise InvalidInput(f"--set {show(field)} is given twice: write a list as {field}=a,b")
            seen.add(field)
            found[field] = cluster.thing(name)[0].read(field, value)
        return found


def _keep(context: click.Context, parameter: click.Parameter, given: object) -> None:
    """Tell the session, which every level of the command has."""
    if given not in (None, False):
        setattr(context.ensure_object(Session), str(parameter.name), given)


TYPES = {"SECONDS": float, "N": int}
"""What a placeholder stands for; any other for a text."""


def option(usage: str, told: str, *name: str, **more: Any) -> Callable[[F], F]:
    """Add an option as --help shows it: `--timeout SECONDS`, or a flag; a `name` is that of its parameter."""
    flag, _, metavar = usage.partition(" ")
    more.setdefault("type", TYPES.get(metavar))
    if not metavar and more["type"] is None:
        more["is_flag"] = True
    if "default" in more:
        more["show_default"] = True
    return click.option(*name, flag, metavar=metavar or None, help=told, **more)


kept = functools.partial(option, expose_value=False, callback=_keep)
"""Add one that the session is told, and not the command."""
debug_option = kept("--debug", "Print tracebacks with errors.", is_eager=True)
"""Every level of the command takes it."""
as_option = kept("--as NAME", "Who asks.  [default: user@host]", "created_by")


def command(name: str | None = None, *, lines: bool = False) -> Callable[[Command], click.Command]:
    """Make a command that takes --json and --debug, and whose first argument is the session.

    Its help is the function's docstring, examples last. With `lines` --json prints many documents.
    """

    def decorate(function: Command) -> click.Command:
        text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\nExamples:\n")
        run = click.make_pass_decorator(Session)(function)
        made = click.command(name, help=text, epilog=f"\b\nExamples:\n{examples}")(run)
        told = f"Print one JSON document{' a line' if lines else ''} (fields: docs/cli.md)."
        return debug_option(kept("--json", told, "as_json")(made))

    return decorate


def _handed_over(name: str, kind: type[Any], *options: Adds) -> Adds:
    """Return what hands a command one object by this name, of these options and all else of its fields."""
    known = [each.name for each in fields(kind)]

    def added(function: Command) -> Command:
        @functools.wraps(function)
        def collected(*args: object, **given: object) -> Exit:
            mine = {each: given.pop(each) for each in known if each in given}
            return function(*args, **{name: kind(**mine)}, **given)

        return _all(*options)(collected)

    return added


def _all(*options: Adds) -> Adds:
    """Return what adds all of these, the first one first."""
    return lambda function: functools.reduce(lambda made, add: add(made), reversed(options), function)


field_options = _handed_over(
    "fields",
    FieldOptions,
    option("--set FIELD=VALUE", "A field of a thing; repeat it.", "sets", multiple=True),
    option("--file FILE", "Fields as YAML or JSON; - reads standard input.", "-f"),
    option(
        "--secret FIELD=@FILE",
        "A secret or sensitive field, from a file; repeat it.",
        "secrets",
        multiple=True,
    ),
)
"""The command's --accept-loss and --create, if it has them, are in `fields` too."""

host_options = _handed_over(
    "selection",
    Selection,
    option("--hosts A,B", "Names of hosts, separated by commas.  [default: all of the inventory]"),
    option(
        "--where LABEL=VALUE",
        "Only hosts with this label; LABEL!=VALUE: only others. Repeat it: all must hold.",
        multiple=True,
    ),
    option("--except A,B", "Not these hosts.", "excepted"),
)

pace_options = _handed_over(
    "pace",
    Pace,
    option("--waves SIZES", "Change hosts in waves: 1,10%,100%. The last size repeats."),
    option("--wave-by LABEL", "One wave for each value of a label."),
    option("--bake TIME", "Wait after each wave, such as 60s, then look at every host again."),
    option("--hold", "Stop after each wave until `lockstep promote OPERATION`."),
    option("--expires TIME", "Roll back unless all waves are done so soon, such as 2h."),
    option("--health PATH", "What must answer 2xx on changed hosts after each wave."),
)

wait_options = _all(
    host_options,
    option("--wait/--no-wait", "Wait until it is done or undone.", default=True),
    option("--timeout SECONDS", "Give up waiting after this time; the operation goes on.  [default: never]"),
    option(
        "--id ID",
        "The operation's id: with it, repeating the command is harmless.  [default: random]",
        "operation_id",
    ),
    option(
        "--deadline SECONDS",
        "Roll back unless every host is done so soon.  [default: LOCKSTEP_DEADLINE, 300]",
    ),
    option("--retries N", "Give a host up after N tries beyond the first.  [default: no bound but time]"),
    option("--preflight", "Ask every host first; write nothing unless all answer."),
    as_option,
    pace_options,
)
