"""`python -m lockstep.worker.telemetry.probe live|ready`: exit 0 if this machine's worker is, else 1 and why.

It reads two files and asks nobody: a ping through Redis would restart every worker whenever Redis is away.
"""

from __future__ import annotations

import os
import sys

from lockstep.worker.telemetry.signs import VARIABLE, Signs

USAGE = "usage: python -m lockstep.worker.telemetry.probe live|ready"


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 for yes, 1 for no, 2 for a question that it does not know."""
    if arguments not in (["live"], ["ready"]):
        sys.stderr.write(f"{USAGE}\n")
        return 2
    trouble = Signs(os.environ.get(VARIABLE, "")).trouble(arguments[0])
    if trouble is None:
        return 0
    sys.stderr.write(f"not {arguments[0]}: {trouble}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
