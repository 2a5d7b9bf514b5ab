"""What is wrong: with an installation, with the API of a host (`lockstep probe`), with a kind on a host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    level: Level
    text: str
    remedy: str | None = None
