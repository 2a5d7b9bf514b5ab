"""Redis' append-only file, read back: every decision and state ever written, and who held which lock when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lockstep.worker.operation.model import GroupId, OperationId, State
from tests.twin.record import allowed

ONE_JOURNAL = ("--auto-aof-rewrite-percentage", "0")
"""Redis keeps every command of the run in its append-only file, to be read afterwards."""


@dataclass(slots=True)
class Journal:
    """What the file says, in its order."""

    decisions: dict[OperationId, list[str]] = field(default_factory=lambda: defaultdict(list))
    locks: dict[GroupId, list[OperationId]] = field(default_factory=lambda: defaultdict(list))
    """Group -> its owners, in the order in which they took the lock."""
    wrong: list[str] = field(default_factory=list)
    """Locks that were taken from their owner, and states that may not follow one another."""
    waits: int = 0
    """How often a write was put in line at the limited host."""
    paced: int = 0
    """How often one waited for its moment there."""


def read(everything: Iterable[list[str]], prefix: str) -> Journal:
    """Read a journal that was never rewritten, command by command."""
    journal = Journal()
    owner: dict[GroupId, OperationId] = {}
    states: dict[OperationId, State] = {}
    op, lock = f"{prefix}op:", f"{prefix}lock:"
    for command in everything:
        if len(command) < 2:
            continue
        name, key = command[0].upper(), command[1]
        if name == "HSET" and key.startswith(op):
            fields = dict(zip(command[2::2], command[3::2], strict=False))
            operation = OperationId(key.removeprefix(op))
            if "decision" in fields:
                journal.decisions[operation].append(fields["decision"])
            if "state" in fields:
                new = State(fields["state"])
                old = states.get(operation, new)
                if new is not old and not allowed(old, new):
                    journal.wrong.append(f"operation {operation} went from {old} to {new}")
                states[operation] = new
        elif name == "SET" and key.startswith(lock):
            group, taker = GroupId(key.removeprefix(lock)), OperationId(command[2])
            if group in owner:
                journal.wrong.append(f"{taker} took the lock of {group} while {owner[group]} held it")
            if len(command) > 3:
                journal.wrong.append(f"the lock of {group} was taken with {' '.join(command[3:])}")
            owner[group] = taker
            journal.locks[group].append(taker)
        elif name == "SADD" and key.startswith(op) and key.endswith(":queued"):
            journal.waits += 1
        elif name == "ZADD" and key.startswith(f"{prefix}limit:") and key.endswith(":pace"):
            journal.paced += 1
        elif name in ("DEL", "UNLINK"):
            for each in command[1:]:
                owner.pop(GroupId(each.removeprefix(lock)), None)
    journal.wrong += [f"{holder} still holds the lock of {group}" for group, holder in owner.items()]
    return journal


def commands(directory: Path) -> Iterator[list[str]]:
    """Yield every command of a server's append-only files."""
    for path in files(directory):
        yield from parsed(path)


def files(directory: Path) -> list[Path]:
    """Return a server's append-only files, in their order."""
    found = sorted(directory.glob("appendonlydir/*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
    if not found:
        raise FileNotFoundError(f"no append-only file in {directory}")
    return found


def parsed(path: Path) -> Iterator[list[str]]:
    """Yield every command of a file, the torn last one of a killed server left out."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        line, place = _line(data, place)
        if not line.startswith(b"*"):
            continue  # an annotation
        command: list[str] = []
        for _ in range(int(line[1:])):
            size, place = _line(data, place)
            length = int(size[1:] or 0)
            command.append(data[place : place + length].decode("utf-8", "replace"))
            place += length + 2
        if place <= len(data):
            yield command


def _line(data: bytes, place: int) -> tuple[bytes, int]:
    end = data.find(b"\r\n", place)
    if end < 0:
        end = len(data)
    return data[place:end], end + 2
