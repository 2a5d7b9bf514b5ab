"""A worker that stands still on purpose: nobody sends and all its threads wait, as a fault once had it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(file: str) -> dict[str, str]:
    """Return what workers are started with of which the next one to end a write stands still once `file` is
    there. It is renamed by then, to end in `.taken`, so that no other follows.
    """
    return {"WEDGE": file, "PYTHONPATH": f"{Path(__file__).parent}:{ROOT}"}  # for sitecustomize.py
