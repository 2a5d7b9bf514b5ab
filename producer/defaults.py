"""Where a client finds its cluster when it is not told."""

from __future__ import annotations

from lockstep.producer.discovery import discover
from lockstep.worker.settings import Settings, load_settings

WHERE = frozenset({"redis_url", "hosts", "inventory"})
"""Whoever sets one of these means a certain cluster."""


def default_settings() -> Settings:
    """Read the LOCKSTEP_* environment; if it names no cluster, take that of the stack that runs from here.

    Raises InvalidInput.
    """
    settings = load_settings()
    if settings.model_fields_set.isdisjoint(WHERE) and (found := discover()):
        return load_settings(**found.settings)
    return settings
