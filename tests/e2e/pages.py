"""Pages that show a session: their files are written, their commands run, and what they show is compared.

A console block with the title "Terminal N" holds what somebody types there after `$ `, and what they
see; `^C` stops what runs there. Any other block with a title is a file of that name. In what is shown
a line `…` stands for any lines, `…` inside a line for any text; ids and columns may differ.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waits import PATIENCE, eventually

BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
STAYS = ("cd ", "source ", "export ")
"""What of a terminal outlives a command."""


@dataclass(frozen=True, slots=True)
class Block:
    """A file, or what happens in one terminal."""

    language: str
    title: str
    text: str

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each command and the lines that it is to show."""
        for part in re.split(r"^(?:\$ |(?=\^C$))", self.text, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page)]


GOING_ON = re.compile(r"(\w+ \S+): (?:applying|rolling_back), .* hosts .*\(operation ")


def pattern(shown: list[str]) -> re.Pattern[str]:
    """Match what a command printed, with other ids, times and columns."""
    made = ""
    for line in shown:
        if line == "…":
            made += r"(?:.*\n)*?"
            continue
        if going_on := GOING_ON.match(line):  # how many of these there are depends on how fast it goes
            made += rf"(?:{re.escape(going_on[1])}: (?:applying|rolling_back), .*\n)*"
            continue
        words = (re.escape(word).replace("…", ".*") for word in line.split())
        made += r" *" + r"\s+".join(words) + r"\s*\n"
    made = re.sub(r"\b[0-9a-f]{12}\b", "[0-9a-f]{12}", made)
    return re.compile(made, re.MULTILINE)


@dataclass
class Session:
    """Terminals of one reader, in a home of their own; leaving it ends what they started."""

    home: Path
    environment: Mapping[str, str]
    here: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)
    code: int = 0
    """What the last command in Terminal 1 ended with, as `$?` has it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for terminal in reversed(list(self.running)):
            self.stop(terminal)

    def follow(self, block: Block) -> None:
        """Do what a block says, and hold what comes of it against what it shows."""
        if block.language != "console":
            (self.here / block.title).write_text(block.text, "utf-8")
            return
        for command, shown in block.commands():
            if command == "^C":
                self.stop(block.title)
            elif command.startswith(STAYS):
                self.kept.setdefault(block.title, []).append(command)
            elif block.title == "Terminal 1":
                self.run(block.title, command, shown)
            else:
                self.start(block.title, command, shown)

    def script(self, terminal: str, command: str) -> list[str]:
        return ["bash", "-c", "\n".join([*self.kept.get(terminal, []), f"(exit {self.code})", command])]

    def run(self, terminal: str, command: str, shown: list[str]) -> None:
        done = subprocess.run(
            self.script(terminal, command),
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=90,
            check=False,
        )
        self.code = done.returncode
        said = done.stdout.decode()
        assert pattern(shown).fullmatch(said), f"{command}\n{said}\nis not\n{shown}"

    def start(self, terminal: str, command: str, shown: list[str]) -> None:
        assert terminal not in self.running, f"{terminal} is busy"
        output = self.home / f"{terminal}.log"
        with output.open("wb") as file:
            self.running[terminal] = subprocess.Popen(
                self.script(terminal, f"exec {command}"),
                env=self.environment,
                cwd=self.home,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(
            lambda: pattern(shown).search(output.read_text("utf-8", "replace")),
            lambda: f"{shown} in {terminal}: {output.read_text('utf-8', 'replace')}",
        )

    def stop(self, terminal: str) -> None:
        process = self.running.pop(terminal)
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
