"""Text without blanks at the ends of its lines where nobody watches it being drawn."""

from __future__ import annotations

import io
import sys
from typing import TextIO, cast

from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr; in a pipe or a file it leaves out what rich pads lines with."""
    return Console(file=cast(TextIO, Trimmed(stderr=stderr)), highlight=False)


class Trimmed(io.TextIOBase):
    """Writes to what is stdout, or stderr, at that moment; on a terminal everything, else trimmed lines."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr
        self._held = ""
        """Blanks that may be the end of a line: the next piece tells."""

    @property
    def stream(self) -> TextIO:
        """Where the text goes; while rich draws, it has a proxy there that writes to this console."""
        found = sys.stderr if self._stderr else sys.stdout
        return getattr(found, "rich_proxied_file", found)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self.stream.encoding

    def isatty(self) -> bool:
        """Tell whether somebody watches."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """That of the stream."""
        return self.stream.fileno()

    def write(self, text: str) -> int:
        """Write text, of which blanks at the ends of lines are kept back."""
        if self.isatty():
            return self.stream.write(text)
        *whole, last = (self._held + text).split("\n")
        shown = last.rstrip(" ")
        self._held = last[len(shown) :]
        self.stream.write("".join(f"{line.rstrip(' ')}\n" for line in whole) + shown)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def close(self) -> None:
        """Leave the stream alone: it is somebody else's, and may be closed by the time this one goes."""
