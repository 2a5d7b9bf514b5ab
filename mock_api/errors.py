"""What was wrong with what a person gave us, in one line."""

from __future__ import annotations


class InputError(Exception):
    """Names the value, the rule it breaks and the remedy."""
