"""Rules of Redis for users, as the grants that they are, and those that what was used amounts to."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from tests.integration.redis_servers.recorder import Use

P = "lockstep:"
C = f"{P}celery:"
PATTERNS = (
    *(f"~{P}{each}" for each in ("op:*", "lock:*", "ends:*", "left:*", "suspects:*", "lease:*", "limit:*")),
    *(
        f"~{P}{each}"
        for each in ("due", "operations", "ended", "patrol", "drift", "paused", "spared", "lost")
    ),
    *(f"~{P}{each}" for each in ("clocks", "stalled", "failing", "fence", "tidied", "dropped")),
    *(f"~{C}{queue}{each}" for queue in ("operations", "rollback") for each in ("", ":[369]")),
    *(f"~{C}{each}" for each in ("unacked", "unacked_index", "unacked_mutex")),
    *(f"~{C}celery-{each}-*" for each in ("task-meta", "taskset-meta")),
    *(f"~{C}{each}" for each in ("*@*.celery.pidbox*", "*.reply.celery.pidbox*", "celeryev.*")),
    *(f"~{C}_kombu.binding*.celery{each}" for each in (".pidbox", "ev")),
    *(f"&{P}{each}" for each in ("events:*", "celery:/0.celery.pidbox", "celery:/0.celeryev/*")),
    f"&{C}celery-task-meta-*",
)
"""Keys and channels by what they are for; the glob of Redis."""
Grant: TypeAlias = tuple[str, str]
"""A command, and a pattern of keys or channels that it may be used on; none for one that has none."""


def kind_of(name: str) -> str:
    """Return the pattern that a key or channel fits."""
    (found,) = [each for each in PATTERNS if fnmatch.fnmatchcase(name, each)] or [name]
    return found


def grants_of(uses: Iterable[Use]) -> set[Grant]:
    """Return what has to be granted for what was used."""
    return {(command, kind_of(name)) for command, names in uses for name in names or ("",)}


def grants_in(rules: str, role: str) -> set[Grant]:
    """Return what rules grant to a role."""
    (line,) = (each for each in rules.splitlines() if each.startswith(f"user lockstep-{role} "))
    return {
        (command, pattern)
        for part in line.split(" (")
        for command in re.findall(r"\+([a-z|]+)", part)
        for pattern in re.findall(r"[~&][^\s)]+", part) or ("",)
    }


def line_of(role: str, uses: Iterable[Use], more: Iterable[Grant]) -> str:
    """Return the line that grants to a role what it used and some more, and nothing else."""
    uses = set(uses)
    left = {*grants_of(uses), *more}
    together: dict[frozenset[str], set[str]] = defaultdict(set)
    for command, names in uses:
        kinds = frozenset(map(kind_of, names))
        if len(kinds) > 1:
            together[kinds].add(command)
    parts = []
    for kinds, commands in together.items():
        commands -= {each for wider in together if wider > kinds for each in together[wider]}
        if commands:
            parts.append((sorted(kinds), sorted(commands)))
        left -= {(command, kind) for command in commands for kind in kinds}
    allowed: dict[str, set[str]] = defaultdict(set)
    for command, kind in left:
        allowed[kind].add(command)
    root = sorted(allowed.pop("", ()))
    alike: dict[frozenset[str], list[str]] = defaultdict(list)
    for kind, commands in allowed.items():
        alike[frozenset(commands)].append(kind)
    parts += [(sorted(kinds), sorted(commands)) for commands, kinds in alike.items()]
    selectors = " ".join(
        f"({' '.join(kinds)} {' '.join(f'+{each}' for each in commands)})"
        for kinds, commands in sorted(parts)
    )
    start = f"user lockstep-{role} on >{role.upper()}-PASSWORD resetkeys resetchannels -@all"
    return f"{start} {' '.join(f'+{each}' for each in root)} {selectors}"
