"""lockstep doctor: what is wrong, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from lockstep.producer.cli.exits import Exit
from lockstep.producer.cli.findings import documents, is_well, tell
from lockstep.producer.cli.options import debug_option, json_option, pass_session
from lockstep.producer.cli.output import answer_json
from lockstep.producer.cli.session import Session
from lockstep.worker.operation.errors import InvalidInput

if TYPE_CHECKING:
    from lockstep.producer.findings import Finding

WIDTH = 18
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
    from lockstep.producer.doctor import on_bad_settings

    try:
        client = session.client()
    except InvalidInput as error:
        yield on_bad_settings(error)
        return
    yield from client.examine()
