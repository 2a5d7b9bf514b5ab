"""`python -m lockstep.producer.stack`: keep a stack running in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Import and run the command; Ctrl-C before it has begun ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lockstep.producer.stack.command import main as begin

    return begin()


if __name__ == "__main__":
    sys.exit(main())
