"""Findings as people and scripts read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit, Session
from lockstep.producer.cli.options import command
from lockstep.producer.cli.output import answer, answer_json, note, paint, printable
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.operation.names import named, parse_watch

if TYPE_CHECKING:
    from lockstep.producer.doctor.checks import Finding

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


WIDTH = 18


@command()
def doctor(session: Session, as_json: bool) -> Exit:
    """Check Redis, workers, beat and hosts, and print a fix for each problem.

    Examples:
      lockstep doctor
      lockstep doctor --json | jq '.findings[] | select(.level != "ok")'

    Exit codes: 0 all is well, 1 there are warnings or failures.
    """
    found = []
    for finding in _findings(session):
        found.append(finding)
        if not as_json:
            tell(finding, WIDTH)
    session.damage.clear()  # they are findings
    if as_json:
        answer_json({"healthy": is_well(found), "findings": documents(found)})
    return Exit.OK if is_well(found) else Exit.FOUND


def _findings(session: Session) -> Iterator[Finding]:
    """Yield what is found; settings that cannot be used are a finding too, and the only one."""
    from lockstep.producer.doctor.checks import on_bad_settings

    try:
        client = session.client()
    except InvalidInput as error:
        yield on_bad_settings(error)
        return
    yield from client.examine()


PROBE_WIDTH = 26


@command()
@click.argument("host")
@click.option(
    "--watch",
    type=float,
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to look for a write whose client left.",
)
def probe(session: Session, host: str, watch: float, as_json: bool) -> Exit:
    """Test whether the API of HOST does what Lockstep needs, and recommend settle_seconds.

    Examples:
      lockstep probe node1
      lockstep probe node1 --watch 120
      lockstep probe node1 --json | jq .settle_seconds

    Writes scratch groups named lockstep-probe-…, on this host alone, and deletes them again.
    Exit codes: 0 all is well, 1 there are warnings or failures, 4 the host gave no usable answer.
    """
    from lockstep.producer.probe.contract import Probe

    seconds = parse_watch(watch)
    client = session.client()
    probing = Probe(client.inventory.select([host])[0], client.settings, seconds)
    note(f"scratch groups are written to {host} and deleted again; this may take {seconds:g} s and more")
    found = []
    try:
        with closing(probing.run()) as findings:  # however it ends, the scratch groups are deleted now
            for finding in findings:
                found.append(finding)
                if not as_json:
                    tell(finding, PROBE_WIDTH)
    except KeyboardInterrupt:
        if probing.left:
            session.going_on = f"{named(probing.left)} could not be deleted from {host}"
        raise
    if as_json:
        answer_json(
            {
                "host": host,
                "healthy": is_well(found),
                "settle_seconds": probing.settle_seconds,
                "findings": documents(found),
                "late_writes": [
                    {"stayed": each.stayed, "landed": each.landed, "trouble": each.trouble}
                    for each in probing.late_writes
                ],
                "left": probing.left,
            }
        )
    return Exit.OK if is_well(found) else Exit.FOUND
