"""What tests of groups put in the place of a host: it knows no things."""

from __future__ import annotations

from typing import Any

from lockstep.worker.operation.content import Shown, WriteAnswer


class GroupsAlone:
    """The part of a host that such a test never asks for."""

    def look_at_thing(self, *_: Any) -> Shown:
        """Know no thing."""
        raise AssertionError("it knows groups alone")

    def send(self, *_: Any) -> WriteAnswer:
        """Know no thing."""
        raise AssertionError("it knows groups alone")
