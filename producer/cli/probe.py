"""lockstep probe: whether a host keeps the API contract, and how late its writes land."""

from __future__ import annotations

from contextlib import closing

import click

from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.findings import documents, is_well, tell
from lockstep.producer.cli.options import debug_option, json_option, pass_session
from lockstep.producer.cli.output import answer_json, note
from lockstep.producer.cli.session import Session
from lockstep.producer.naming import parse_watch
from lockstep.producer.wording import named

WIDTH = 26
EXAMPLES = """\b
Examples:
  lockstep probe node1
  lockstep probe node1 --watch 120
  lockstep probe node1 --json | jq .settle_seconds

Writes scratch groups named lockstep-probe-…, on this host alone, and deletes them again.
Exit codes: 0 all is well, 1 there are warnings or failures, 4 the host gave no usable answer."""


@click.command(epilog=EXAMPLES)
@click.argument("host")
@click.option(
    "--watch",
    type=float,
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to look for a write whose client left.",
)
@json_option
@debug_option
@pass_session
def probe(session: Session, host: str, watch: float, as_json: bool) -> Exit:
    """See whether HOST keeps the API contract, and which settle_seconds it needs."""
    from lockstep.producer.probing import Probe

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
                    tell(finding, WIDTH)
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
