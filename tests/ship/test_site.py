"""The site that `make docs` builds, as far as it can be told without building it; `.ci/run` builds it."""

from __future__ import annotations

import re
from pathlib import Path

import lockstep
from lockstep.producer.cli.app import lockstep as command
from tests.ship import site


def test_every_page_is_in_the_navigation_once() -> None:
    named = re.findall(r": ([\w-]+\.md)$", (site.ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = {name for _, name in site.sources() if name.endswith(".md")} | {"command.md", "api.md"}
    assert len(named) == len(set(named))
    assert set(named) == pages


def test_links_lead_to_files_of_the_site(tmp_path: Path) -> None:
    site.gather(tmp_path)
    for page in tmp_path.glob("*.md"):
        for link in site.LINK.finditer(page.read_text("utf-8")):
            assert link[2].startswith("https://") or (tmp_path / link[2]).exists(), f"{page.name}: {link[2]}"


def test_the_references_have_every_command_and_every_public_name() -> None:
    assert {f"### lockstep {name}\n" for name in command.commands} <= set(
        re.findall(r"### .*\n", site.options())
    )
    homes = {line.rpartition(".")[2] for line in site.api().splitlines() if line.startswith("::: ")}
    assert {getattr(lockstep, name).__name__ for name in lockstep.__all__} == homes


def test_doctests_are_shown_as_examples(tmp_path: Path) -> None:
    site.gather_code(tmp_path)
    folder = tmp_path / "lockstep" / "producer" / "client"
    client, groups = ((folder / name).read_text("utf-8") for name in ("client.py", "groups.py"))
    assert "\n    Examples:\n        >>> with ClusterClient(settings) as cluster:\n" in client
    assert "\n        Examples:\n            >>> cluster.select(" in groups


def test_what_a_page_fetches_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text('<script src="bundle.js"></script> <a href="https://x.example/">x</a>')
    (tmp_path / "font.css").write_text("@import 'https://fonts.example/inter.css';")
    (tmp_path / "script.html").write_text('<script src="https://cdn.example/x.js"></script>')
    (tmp_path / "style.html").write_text('<link rel="stylesheet" href="//cdn.example/x.css">')
    found = [each.split(":")[0] for each in site.fetched(tmp_path)]
    assert found == ["font.css", "script.html", "style.html"]
