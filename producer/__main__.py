"""`python -m producer` is the `lockstep` command."""

from __future__ import annotations

import sys

from producer.cli import main

sys.exit(main())
