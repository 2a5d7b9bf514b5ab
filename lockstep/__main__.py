"""`python -m lockstep` is the `lockstep` command."""

import sys

from lockstep.extras import hidden
from lockstep.producer.cli import main

if __name__ == "__main__":
    sys.exit(f"lockstep: error: {why}" if (why := hidden()) else main())
