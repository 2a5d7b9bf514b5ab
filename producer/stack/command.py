"""`make up`: the stack in the foreground, told in plain lines."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from lockstep.producer.cli.output import note
from lockstep.producer.discovery import AlreadyRunning, StackError
from lockstep.producer.process import Stopped, outlets, stoppable
from lockstep.producer.stack.processes import FLOWER_PORT, check_redis
from lockstep.producer.stack.stack import Stack
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.settings import PREFIX, load_settings
from lockstep.worker.settings.redis_url import read_address


class PlainConsole(Console):
    """A console that, in a pipe or a file, leaves out what rich pads lines with."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as ever on a terminal, else lines that end with their text."""
        if self.file.isatty():
            super().print(*objects, **options)
            return
        with self.capture() as padded:
            super().print(*objects, **options)
        self.file.write(trimmed(padded.get()))
        self.file.flush()


def trimmed(text: str) -> str:
    """Return the text without the blanks at the ends of its lines."""
    return re.sub(" +$", "", text, flags=re.MULTILINE)


FIRST_PORT = 5001
MOST_NODES = 200
LOOK_EVERY = 0.2
"""Seconds within which a signal is heard, even one that another thread received."""
REDIS_URL = f"{PREFIX}REDIS_URL"
OURS = (REDIS_URL, f"{PREFIX}HOSTS", f"{PREFIX}INVENTORY")
"""The stack sets these for its own processes."""

out = PlainConsole(highlight=False)


@outlets()  # a stack goes on whether or not it can say so
def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop: 0 then, 1 when a part does not start, 2 when what was given is wrong."""
    given = parser().parse_args(arguments)
    ignored = [name for name in OURS if name in os.environ and not (name == REDIS_URL and given.redis)]
    try:
        redis_url = chosen_redis(given.redis)
        load_settings()
        stack = Stack(
            nodes=given.nodes,
            flower=given.flower,
            env={name: os.environ[name] for name in {*os.environ} - {*OURS} if name.startswith(PREFIX)},
            redis_url=redis_url,
            first_port=FIRST_PORT,
            publish=True,
            say=warn,
        )
        with stoppable(lambda: end_at_once(stack)):
            run(stack, ignored)
    except Stopped:
        out.print("Stopped; nothing is left running.")
        return 0
    except (AlreadyRunning, InvalidInput) as error:
        return complain(error, 2)
    except StackError as error:
        return complain(error, 1)


def run(stack: Stack, ignored: Sequence[str]) -> NoReturn:
    """Start the stack, show where everything is, and wait for a signal. However this ends, it is stopped."""
    try:
        with out.status("Starting Redis, the mock cluster, workers and beat"):
            stack.start()
        show(stack, ignored)
        while True:
            # Not signal.pause(): a signal that comes just before it would not end it.
            time.sleep(LOOK_EVERY)
    finally:
        with out.status("Stopping"):
            stack.stop()


def warn(line: str) -> None:
    out.print(f"[yellow]{escape(line)}[/]")


def end_at_once(stack: Stack) -> None:
    """Kill everything, and give the terminal its cursor back."""
    stack.end_at_once()
    out.show_cursor()


def show(stack: Stack, ignored: Sequence[str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_row("Redis", read_address(stack.redis_url).shown)
    pages = {**stack.nodes, "admin": stack.admin_url}
    width = max(map(len, pages))
    for number, (name, url) in enumerate(pages.items()):
        table.add_row("" if number else "Cluster", f"{name:{width}}  {link(f'{url}/docs')}")
    flower = stack.flower_url
    if flower:
        table.add_row("Flower", link(flower))
    table.add_row("Logs", str(stack.directory))
    out.print("\n[bold green]Lockstep is up.[/]\n")
    out.print(Padding(table, (0, 2)))
    out.print()
    if flower and urlsplit(flower).port != FLOWER_PORT:
        warn(f"Port {FLOWER_PORT} is taken, so Flower has another one.")
    if urlsplit(next(iter(stack.nodes.values()))).port != FIRST_PORT:
        warn(f"Ports from {FIRST_PORT} on are taken, so the nodes have others.")
    for name in ignored:
        hint = "; --redis makes the stack use it" if name == REDIS_URL else ""
        warn(f"{name} is set here and plays no part{hint}. Unset it where you type commands.")
    out.print("In another terminal:\n")
    for command in ("create team-c", "list", "delete team-c", "--help"):
        out.print(f"  [cyan]{escape(lockstep())} {command}[/]")
    out.print("\nCtrl-C stops it all and keeps nothing.")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m lockstep.producer.stack",
        description="Run Redis, a mock cluster, two workers, beat and Flower here, until Ctrl-C.",
    )
    made.add_argument(
        "--redis",
        nargs="?",
        const=REDIS_URL,
        metavar="URL",
        help=f"use this Redis, or that of {REDIS_URL}, and start none",
    )
    made.add_argument("--nodes", type=count, default=5, metavar="N", help="of the mock cluster (default 5)")
    made.add_argument("--no-flower", dest="flower", action="store_false", help="leave Flower out")
    return made


def count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_NODES:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number from 1 to {MOST_NODES}')
    return int(text)


def chosen_redis(given: str | None) -> str | None:
    """Return the URL of the Redis to use; None for one of our own. Raises InvalidInput and StackError."""
    if given is None:
        return None
    url = os.environ.get(REDIS_URL, "") if given == REDIS_URL else given
    if not url:
        raise InvalidInput(
            f"--redis without a URL means that of {REDIS_URL}, which is not set: give one of them"
        )
    check_redis(url)
    return url


def lockstep() -> str:
    """The `lockstep` command of this environment as one would type it here."""
    command = Path(sys.executable).with_name("lockstep")
    here = Path.cwd()
    return str(command.relative_to(here) if command.is_relative_to(here) else command)


def link(url: str) -> str:
    return f"[link={url}]{url}[/link]"


def complain(error: Exception, status: int) -> int:
    """Print an error in one line; what a child wrote follows it."""
    note(f"error: {error}")
    return status
