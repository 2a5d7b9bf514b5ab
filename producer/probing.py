"""Finding out how one host behaves, on groups of our own that are deleted again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from lockstep.producer.asking import ask
from lockstep.producer.contract import contract
from lockstep.producer.findings import Finding, Level
from lockstep.producer.lateness import LateWrite, measure, on_late_writes, recommended
from lockstep.producer.scratch import Scratch
from lockstep.producer.wording import named
from lockstep.worker.operation.host import Host
from lockstep.worker.operation.model import GroupId
from lockstep.worker.settings import Settings

WATCH = 30.0
"""Seconds for which a write whose client left is looked for."""


@dataclass(slots=True)
class Probe:
    """What is known of one host so far."""

    host: Host
    settings: Settings
    watch: float = WATCH
    late_writes: list[LateWrite] = field(default_factory=list)
    left: list[GroupId] = field(default_factory=list)
    """Scratch groups that could not be deleted."""

    @property
    def settle_seconds(self) -> int | None:
        """The smallest value that the late writes speak for; None before they were measured."""
        return recommended(self.late_writes, self.settings) if self.late_writes else None

    def run(self) -> Generator[Finding]:
        """Yield what is found, as it is found; every scratch group is deleted however this ends.

        Raises HostUnavailable, with nothing written, if the host gives no usable answer to a GET.
        """
        scratch = Scratch(self.host, self.settings)
        ask(self.host, scratch.new_group(), self.settings)
        try:
            with scratch:
                yield from contract(scratch)
                self.late_writes = measure(scratch, self.watch)
                yield from on_late_writes(self.late_writes, self.watch, self.settings)
        finally:
            self.left = scratch.left
        yield _on_leftovers(scratch)


def _on_leftovers(scratch: Scratch) -> Finding:
    subject = "clean-up"
    if scratch.left:
        text = f"{', '.join(scratch.left)} could not be deleted"
        return Finding(subject, Level.FAILURE, text, f"delete them on {scratch.host.name}")
    if scratch.unseen:
        text = f"all {scratch.written} scratch groups are gone; not seen yet, and possible later: "
        return Finding(subject, Level.OK, text + named(scratch.unseen))
    return Finding(subject, Level.OK, f"all {scratch.written} scratch groups are gone")
