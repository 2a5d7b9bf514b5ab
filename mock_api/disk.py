"""One node's groups in a file, so that they outlive the process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from lockstep.mock_api.errors import InputError


@dataclass(frozen=True, slots=True)
class Saved:
    """What the file holds: the groups, and the last effect in case its history line was never written."""

    groups: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    effect_seq: int = 0
    last_effect: dict[str, JsonValue] | None = None


class Disk:
    """Reads and replaces the file whole.

    What was saved outlives a killed process, but perhaps not a power cut: nothing is synced.
    """

    def __init__(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise InputError(f'--state "{path}" is in no directory that exists; make it, or name another')
        self._path = path
        self._draft = path.with_name(path.name + ".new")

    def load(self) -> Saved:
        """Return what was saved, or nothing when there is no file. Raises InputError when it is not ours."""
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return Saved()
        except OSError as error:
            raise InputError(f'--state "{self._path}" cannot be read: {error.strerror}') from None
        try:
            saved = Saved(**json.loads(text))
            if not isinstance(saved.groups, dict):
                raise TypeError("groups by id were expected")
            return saved
        except (ValueError, TypeError):
            raise InputError(
                f'--state "{self._path}" is not a state file of a node; name another, or remove it'
            ) from None

    def save(self, saved: Saved) -> None:
        """Replace the file in one step: a reader, or a restart after a kill, sees the old one or the new."""
        fields = {"groups": saved.groups, "effect_seq": saved.effect_seq, "last_effect": saved.last_effect}
        self._draft.write_text(json.dumps(fields), "utf-8")
        self._draft.replace(self._path)
