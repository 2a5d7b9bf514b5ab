"""What commands print, as files have it in sections: a name and the exit code, stdout, `--`, stderr."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lockstep.producer.cli import main
from tests.unit.zones import zone


def expected(file: str) -> dict[str, str]:
    """Return the sections by their names."""
    text = (Path(__file__).parent / file).read_text("utf-8")
    parts = re.split("^== ", text, flags=re.MULTILINE)[1:]
    return {part.partition(":")[0]: part for part in parts}


def printed(name: str, client: object, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the section of a command whose session has this client."""
    with pytest.MonkeyPatch.context() as patch, zone("UTC"):
        patch.setattr("lockstep.producer.cli.exits.Session.client", lambda _: client)
        code = main(arguments)
    out, err = capsys.readouterr()
    return f"{name}: {code}\n{out}--\n{err}"
