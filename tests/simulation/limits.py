"""The settings that the simulated workers run with: those of production."""

from __future__ import annotations

from lockstep.worker.settings import Settings

SETTINGS = Settings()
LIMITS = SETTINGS.limits
FORWARD_BACKOFF = SETTINGS.forward_backoff
ROLLBACK_BACKOFF = SETTINGS.rollback_backoff
VISIBILITY = round(SETTINGS.visibility_timeout * 1000)
