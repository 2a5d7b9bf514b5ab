"""An operation as one HTML page that needs nothing else: no script, no font, no image from elsewhere."""

from __future__ import annotations

from lockstep.producer.cli.report.page import page

__all__ = ["page"]
