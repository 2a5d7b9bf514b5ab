"""What every suite shares: only how hypothesis behaves."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import settings

# Examples that failed are kept with the other caches, not in the work tree.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parents[1] / ".venv" / ".cache" / "hypothesis")
)

# A busy machine is slow now and then; a time limit for one example would only report that.
settings.register_profile("lockstep", parent=settings(), deadline=None)
settings.load_profile("lockstep")
