"""Findings as people and scripts read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from lockstep.producer.cli.output import answer, paint, printable

if TYPE_CHECKING:
    from lockstep.producer.findings import Finding

LEVEL_WIDTH = 8


def tell(finding: Finding, width: int) -> None:
    """Print a finding, with its remedy on a line of its own; subjects take so many characters."""
    head = f"{paint(finding.level.ljust(LEVEL_WIDTH))} {finding.subject.ljust(width)}"
    answer(f"{head} {printable(finding.text)}")
    if finding.remedy:
        answer(f"{'':{LEVEL_WIDTH + width + 2}}-> {printable(finding.remedy)}")


def documents(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Return findings for --json."""
    return [asdict(each) for each in findings]


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is wrong."""
    return all(each.level == "ok" for each in findings)
