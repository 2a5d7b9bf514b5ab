"""What the pages name exists: settings, commands, make targets, files."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import click
import pytest

from lockstep.producer.cli.app import lockstep
from lockstep.worker.operation.model import Outcome, State
from lockstep.worker.process.secrets import Secret
from lockstep.worker.settings import PREFIX, TYPES, Settings
from tests.picture import SHOWN, drawn

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [*sorted(set(ROOT.glob("*.md")) - {ROOT / "CHANGELOG.md"}), *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def ids(page: Path) -> str:
    return page.name


def test_every_setting_stands_on_its_page_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(LOCKSTEP_\w+)` \| (.*?) \|", page, re.MULTILINE))
    fields = {PREFIX + name.upper(): getattr(Settings, name) for name in TYPES}
    assert set(rows) == set(fields)
    for name, default in fields.items():
        default = default.reveal() if isinstance(default, Secret) else default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert rows[name].strip() == (f"`{shown}`" if shown else ""), name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = {PREFIX + name.upper() for name in TYPES}
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
def test_options_that_a_page_gives_a_command_exist(page: Path) -> None:
    for name, rest in re.findall(r"(?<!-n )\blockstep ([a-z]+)((?: [^`\n|&;$(]+)?)", page.read_text()):
        if name in lockstep.commands:
            params = [*lockstep.commands[name].params]
            if isinstance(family := lockstep.commands[name], click.Group):
                params += [each for command in family.commands.values() for each in command.params]
            known = {option for each in params for option in (*each.opts, *each.secondary_opts)}
            named = set(re.findall(r"(?<=\s)--[a-z-]+", rest.split(" #")[0]))
            assert named <= {*known, "--help"}, name


def test_tests_that_a_page_names_exist() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py")]
    there = {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    assert named - there == set()
    assert len(named) > 20


def anchors(page: Path) -> set[str]:
    """Return what links may name in a page, by the rule that GitHub and the site share."""
    heads = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            led = page.parent / target if target else page
            assert led.exists(), target
            assert not anchor or anchor in anchors(led), f"{target}#{anchor}"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_the_readme_is_short_and_its_comparison_is_the_one_with_sources() -> None:
    assert len(README.splitlines()) < 150
    page = (ROOT / "docs" / "comparison.md").read_text()
    tags = set(re.findall(r" \(([A-Z]\d)\)", page))
    rows, sourced = (
        re.findall(r"^\| .* \|$", text.split("## Sources")[0], re.MULTILINE) for text in (README, page)
    )
    assert sourced
    assert {re.sub(r" \([A-Z]\d\)", "", row) for row in sourced} <= set(rows)
    assert set(re.findall(r"^- \*\*([A-Z]\d)\*\* ", page, re.MULTILINE)) == tags


def words_to_avoid() -> list[str]:
    rows = re.findall(r"^\| \*\*.*\|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    avoided = ", ".join(cells[3] for row in rows if len(cells := row.split("|")) == 5)
    return [word.strip() for word in avoided.split(",") if word.strip()]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_pages_use_the_words_of_the_glossary(page: Path) -> None:
    if page.name not in ("glossary.md", "comparison.md"):
        assert re.findall(rf"\b(?:{'|'.join(words_to_avoid())})s?\b", page.read_text()) == []


def test_help_texts_and_errors_use_the_words_of_the_glossary() -> None:
    avoided = re.compile(rf"\b(?:{'|'.join(words_to_avoid())})s?\b")
    assert len(words_to_avoid()) > 5
    for name, command in lockstep.commands.items():
        assert avoided.findall(command.get_help(click.Context(command))) == [], name
    for path in (path for folder in ("worker", "producer") for path in (ROOT / folder).rglob("*.py")):
        texts = (
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        )
        said = [text for text in texts if isinstance(text, str) and " " in text and avoided.search(text)]
        assert said == [], path


def test_the_glossary_has_every_state_and_outcome() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    assert {word for word in (*State, *Outcome) if f"| `{word}` |" not in page} == set()


def test_parts_of_pages_that_errors_name_exist() -> None:
    code = [path for folder in ("worker", "producer") for path in (ROOT / folder).rglob("*.py")]
    named = {
        found
        for path in code
        for found in re.findall(r"\b(docs/[a-z]+\.md)(?:#([a-z-]+))?", path.read_text())
    }
    assert len(named) > 10
    for page, anchor in named:
        assert anchor or page != "docs/operations.md", "it is long: name the part"
        assert not anchor or anchor in anchors(ROOT / page), f"{page}#{anchor}"


def test_make_help_names_every_target_that_the_readme_names() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"(?:`|^\$ )make ([a-z-]+)", README, re.MULTILINE):
        assert target in said


def test_the_acts_that_the_readme_shows_are_those_of_the_demo() -> None:
    acts = (ROOT / "producer" / "demo" / "play.py").read_text()
    first, second, *_, last = re.findall(r'"\d\. (.+?)"', acts)
    for path, shown in zip(SHOWN, ([first, second], [last]), strict=True):
        titles = [line.removeprefix("N. ") for line in drawn(path.read_text()) if line.startswith("N. ")]
        assert titles == shown


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """Whole paths in backquotes that begin with a folder of ours; one is made up, one an annotation."""
    ours = "worker|producer|mock_api|tests|benchmarks|manifests|watching|docs|lockstep|examples"
    for path in re.findall(rf"`((?:{ours})/[\w./-]*)`", page.read_text()):
        assert path in ("lockstep/worker/x.py", "lockstep/replicas") or (ROOT / path).exists(), path
