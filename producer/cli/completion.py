"""lockstep completion: what a shell needs to complete the command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.options import debug_option, json_option
from lockstep.producer.cli.output import answer, answer_json

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_LOCKSTEP_COMPLETE"
EXAMPLES = """\b
Examples:
  lockstep completion bash > ~/.local/share/bash-completion/completions/lockstep
  lockstep completion zsh > ~/.zfunc/_lockstep
  lockstep completion fish > ~/.config/fish/completions/lockstep.fish"""


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS), metavar="|".join(SHELLS))
@json_option
@debug_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> Exit:
    """Print a script that lets the shell complete commands and options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}", context)
    script = kind(context.find_root().command, {}, "lockstep", VARIABLE).source()
    if as_json:
        answer_json({"shell": shell, "script": script})
    else:
        answer(script)
    return Exit.OK
