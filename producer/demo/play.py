"""The demo from its first line to its last: start a stack, play the acts on it, leave nothing behind."""

from __future__ import annotations

import os
import time

from rich.console import Console
from rich.markup import escape

from lockstep.mock_api.admin import AdminError, ClusterAdmin
from lockstep.producer.client.client import ClusterClient
from lockstep.producer.demo.acts import SEED, Demo
from lockstep.producer.process import UNWRITTEN, Stopped, outlets, stoppable
from lockstep.producer.stack import Stack, StackError
from lockstep.producer.stack.command import console
from lockstep.worker.operation.errors import LockstepError
from lockstep.worker.settings import PREFIX, load_settings

SETTINGS = {
    "connect_timeout": "1",
    "read_timeout": "1",
    "call_timeout": "2",
    "send_within": "1",
    "settle_seconds": "2",
    "patience": "3",
}
"""Seconds. Shorter than the defaults, for these nodes are near, and so are you."""


def main() -> int:
    """Play the demo: 0 if every promise was kept, 1 if not, 74 if stdout could not be written to.

    After a signal 128 + its number.
    """
    with outlets() as shown:
        code = begin()
        if shown.lost is None:
            return code
        console(stderr=True).print(
            f"stdout could not be written to ({shown.lost}); the demo ended with {code}"
        )
        return UNWRITTEN


def begin() -> int:
    """Play the demo on a stack of its own; return the exit code."""
    out, err = console(), console(stderr=True)
    # The demo is about itself alone: whatever cluster this shell is set up for, it must not be that.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    env = {PREFIX + name.upper(): value for name, value in SETTINGS.items()}
    try:
        stack = Stack(env=env, seed=SEED, say=lambda line: out.print(f"[yellow]{escape(line)}[/]"))

        def end_at_once() -> None:
            stack.end_at_once()
            out.show_cursor()

        with stoppable(end_at_once):
            return play(stack, out)
    except Stopped as stopped:
        err.print("Stopped; nothing is left running.")
        return stopped.exit_status
    except (LockstepError, StackError, AdminError, OSError) as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 1


def play(stack: Stack, out: Console) -> int:
    """Start the stack, play every act on it, and say whether all promises were kept."""
    began = time.monotonic()
    out.print("[bold]Lockstep: all hosts or none.[/]\n")
    out.print("Redis, two workers, beat and a cluster of five nodes start on this machine,")
    out.print("with shorter times than usual, for they are all near:\n")
    for name, value in SETTINGS.items():
        out.print(f"   [cyan]{PREFIX}{name.upper()}={value}[/]")
    out.print()
    try:
        with out.status("Starting"):
            stack.start()
        with ClusterClient(load_settings(**stack.settings), created_by="demo") as client:
            demo = Demo(out, client, ClusterAdmin(stack.admin_url))
            demo.run()
    finally:
        with out.status("Stopping"):
            stack.stop()
    for promise in demo.broken:
        out.print(f"[bold red]Broken:[/] {escape(promise)}")
    if demo.broken:
        return 1
    seconds = time.monotonic() - began
    out.print("[bold green]All five ended as promised, on every node.[/]")
    out.print(f"That took {seconds:.0f} s, and nothing is left running.")
    out.print("Next: [cyan]make up[/] keeps such a cluster running for you to command.")
    return 0
