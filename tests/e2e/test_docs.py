"""What the pages name exists: settings, commands, make targets, files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lockstep.producer.cli.app import lockstep
from lockstep.worker.secrets import Secret
from lockstep.worker.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def ids(page: Path) -> str:
    return page.name


def test_every_setting_stands_on_its_page_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(LOCKSTEP_\w+)` \| (.*?) \|", page, re.MULTILINE))
    fields = {PREFIX + name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert set(rows) == set(fields)
    for name, default in fields.items():
        default = default.reveal() if isinstance(default, Secret) else default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert rows[name].strip() == (f"`{shown}`" if shown else ""), name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"LOCKSTEP_[A-Z_]+[A-Z]", page.read_text()))
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_that_a_page_shows_exist(page: Path) -> None:
    named = set(re.findall(r"(?:^|\n)(?:\$ )?(?:\.venv/bin/)?lockstep ([a-z]+)", page.read_text()))
    assert named <= set(lockstep.commands)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_make_help_names_every_target_that_the_readme_names() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()):
        assert target in said


def test_the_acts_that_the_readme_shows_are_those_of_the_demo() -> None:
    shown = "".join(re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    titles = re.findall(r"^\d\. (.+)$", shown, re.MULTILINE)
    acts = (ROOT / "producer" / "demo" / "acts.py").read_text()
    assert titles
    assert [title for title in titles if title not in acts] == []
