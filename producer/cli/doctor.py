"""lockstep doctor: what is wrong, and what mends it."""

from __future__ import annotations

from dataclasses import asdict

import click

from producer.cli.exits import Exit
from producer.cli.options import debug_option, json_option, pass_session
from producer.cli.output import answer, answer_json, paint, printable
from producer.cli.session import Session

WIDTHS = (8, 18)
EXAMPLES = """\b
Examples:
  lockstep doctor
  lockstep doctor --json | jq '.findings[] | select(.level != "ok")'

Exit codes: 0 all is well, 1 there are warnings or failures."""


@click.command(epilog=EXAMPLES)
@json_option
@debug_option
@pass_session
def doctor(session: Session, as_json: bool) -> Exit:
    """Look at Redis, the workers, the sweep and every host, and say what mends what is wrong."""
    client = session.client()
    found = []
    for finding in client.examine():
        found.append(finding)
        if not as_json:
            head = f"{paint(finding.level.ljust(WIDTHS[0]))} {finding.subject.ljust(WIDTHS[1])}"
            answer(f"{head} {printable(finding.text)}")
            if finding.remedy:
                answer(f"{'':{sum(WIDTHS) + 2}}-> {finding.remedy}")
    healthy = all(finding.level == "ok" for finding in found)
    if as_json:
        answer_json({"healthy": healthy, "findings": [asdict(each) for each in found]})
    return Exit.OK if healthy else Exit.FOUND
