"""What the commands need beyond the client's packages, by the extra that brings it; and what hides Celery."""

from __future__ import annotations

import re
import sys
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, requires


def complaint(extra: str, command: str) -> str | None:
    """Say in one line that the extra is not installed, and how to install it; None if it is.

    What an extra needs only on some machines is not looked for.
    """
    missing = [name for name in dict.fromkeys(needed(extra)) if not _installed(name)]
    if not missing:
        return None
    return f"{command} needs {', '.join(missing)}: pip install 'lockstep[{extra}]'"


def hidden() -> str | None:
    """Say in one line which file Python would take for Celery, and what to do; None for the package."""
    loaded = sys.modules.get("celery")
    found = loaded.__spec__ if loaded is not None else PathFinder.find_spec("celery")
    if found is None or found.submodule_search_locations is not None:
        return None
    return f"{found.origin} hides the package celery, which Lockstep needs: give that file another name"


def needed(extra: str) -> list[str]:
    """Return the packages that an extra names, of the extras within it too, as the metadata has them."""
    found: list[str] = []
    for line in (requires("lockstep") or ()) if _installed("lockstep") else ():
        if named := re.fullmatch(rf"([\w.-]+)(?:\[([\w,-]+)\])?[^;]*; extra == [\"']{extra}[\"']", line):
            name, inner = named.groups()
            if name == "lockstep":
                found += [each for within in inner.split(",") for each in needed(within)]
            else:
                found.append(name)
    return found


def _installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False
