"""`python -m worker.telemetry.flower --address=… --port=…`: Flower, with the configuration beside this file.

It takes Flower's own options and FLOWER_ variables; another configuration may be named with --conf.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

CONFIGURATION = Path(__file__).with_name("flowerconfig.py")


def main(arguments: Sequence[str]) -> None:
    """Run Flower until it is stopped."""
    from celery.__main__ import main as celery

    os.environ.setdefault("FLOWER_CONF", str(CONFIGURATION))
    sys.argv = ["celery", "-A", "worker", "flower", *arguments]
    celery()


if __name__ == "__main__":
    main(sys.argv[1:])
