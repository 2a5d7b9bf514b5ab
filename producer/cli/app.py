"""The `lockstep` command: its families of commands, and how a shell completes them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import get_completion_class

from lockstep.producer.cli.commands import batch, change, drift, hosts, kinds, read, watch
from lockstep.producer.cli.exits import Exit, Session, exit_of
from lockstep.producer.cli.options import command, debug_option
from lockstep.producer.cli.output import answer, note
from lockstep.producer.process import Stopped, interruptible, outlets
from lockstep.worker.operation.errors import LockstepError
from lockstep.worker.record.damage import noted

UNCUT = 200
"""Characters; longer than any summary."""
SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_LOCKSTEP_COMPLETE"


@command()
@click.argument("shell", type=click.Choice(SHELLS), metavar="|".join(SHELLS))
def completion(session: Session, shell: str) -> Exit:
    """Print a completion script for the shell.

    Examples:
      lockstep completion bash > ~/.local/share/bash-completion/completions/lockstep
      lockstep completion zsh > ~/.zfunc/_lockstep
      lockstep completion fish > ~/.config/fish/completions/lockstep.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, f"click knows no completion for {shell}"
    script = kind(lockstep, {}, "lockstep", VARIABLE).source()
    return session.show(lambda: {"shell": shell, "script": script}, lambda: answer(script))


FAMILIES = {
    "Change groups": (
        *(change.create, change.set_, change.delete, batch.apply, batch.plan),
        *(change.hold, change.promote, change.cancel, change.resolve),
    ),
    "See what happens and happened": (
        *(read.status, read.show, watch.watch, read.list_, read.history, read.report, read.exists),
    ),
    "Look after hosts": (hosts.hosts, hosts.pause, hosts.resume, hosts.probe, kinds.kinds),
    "Mend what is wrong": (
        *(hosts.doctor, drift.drift, drift.repair, hosts.sync, change.abandon, drift.forget),
    ),
    "Set up the shell": (completion,),
}
"""The commands by what they are for, in the order in which they are listed."""


class CommandFamilies(click.Group):
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each family as a section, all of them with the same columns."""
        width = max(map(len, self.commands))
        for title, commands in FAMILIES.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{each.name:{width}}", each.get_short_help_str(UNCUT)) for each in commands]
                )


EPILOG = """\b
Examples:
  lockstep create team-a                     on every host of the inventory
  lockstep create team-a --hosts node1,node2
  lockstep delete team-a --timeout 30 --json
  lockstep status 7f3c81d2aa01
  lockstep exists node1 team-a && echo there

\b
Settings come from LOCKSTEP_* variables; without LOCKSTEP_REDIS_URL, LOCKSTEP_HOSTS and
LOCKSTEP_INVENTORY the stack that `make up` started is used. docs/cli.md lists the exit codes;
74: the answer could not be written to stdout, and stderr says what came of it."""


@click.group(
    name="lockstep",
    cls=CommandFamilies,
    commands=[each for commands in FAMILIES.values() for each in commands],
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="lockstep", message="%(package)s %(version)s", help="Print the version.")
@click.pass_context
def lockstep(context: click.Context) -> None:
    """Create, change or delete a thing on every host of a cluster, all hosts or none."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


debug_option(lockstep)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an error is one line on stderr."""
    session = Session()
    try:
        with interruptible(last=arguments is None):  # a second signal must not cut the last word short
            if VARIABLE in os.environ:  # click then writes bytes, and a shell asks, not a person
                return _run(session, arguments)
            with outlets() as out:
                code = _run(session, arguments)
                out.flush()
                if out.lost is None:
                    return code
                came = f"; {session.going_on}" if session.going_on else ""
                note(f"lockstep: error: the answer could not be written to stdout ({out.lost}){came}")
                return Exit.UNWRITTEN
    except Stopped as error:  # all is said
        return error.exit_status


def _run(session: Session, arguments: Sequence[str] | None) -> int:
    try:
        with session, noted() as session.damage:
            code = lockstep.main(
                None if arguments is None else list(arguments),
                prog_name="lockstep",
                standalone_mode=False,
                obj=session,
            )
        return int(code or Exit.OK)
    except click.ClickException as error:
        return _fail(session, error, _usage(error), Exit.USAGE)
    except LockstepError as error:
        page = f"; see {error.page}" if error.page else ""
        return _fail(session, error, f"{error}{page}", exit_of(error))
    except (KeyboardInterrupt, click.Abort) as error:
        by = error.__cause__ or error  # click makes the one of the other
        how = f"ended by {by}" if isinstance(by, Stopped) else "interrupted"
        note(f"{how}: {session.going_on}" if session.going_on else how)
        return Exit(by.exit_status) if isinstance(by, Stopped) else Exit.INTERRUPTED
    except SystemExit as error:  # click's answer to a shell that completes
        return int(error.code or 0)
    except Exception as error:  # noqa: BLE001 - the last resort of a command: one line, not a traceback
        came = f"; {session.going_on}" if session.going_on else ""
        told = "this is a bug: run it with --debug and report what it prints"
        return _fail(session, error, f"{type(error).__name__}: {error}; {told}{came}", Exit.BUG)
    finally:
        for each in session.damage:
            note(f"lockstep: {each.text} -> {each.remedy}")


def _fail(session: Session, error: BaseException, text: str, code: Exit) -> Exit:
    if session.debug:
        note("".join(traceback.format_exception(error)).rstrip())
    note(f"lockstep: error: {' '.join(text.splitlines())}")
    return code


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    text = error.format_message().rstrip(".").replace("\n\t", " ")
    if context is None:
        return text
    joint = " See" if text.endswith("?") else "; see"
    return f"{text}{joint} `{context.command_path} --help`"
