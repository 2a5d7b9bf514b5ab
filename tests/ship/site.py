"""`make docs`: gather the pages, add the references made from the code, and build the site, strictly.

Pages lie where GitHub shows them well; the site has them all in one folder, so links are rewritten. A link
that leads nowhere, a missing reference, and whatever would be fetched from elsewhere fail the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

import lockstep
from lockstep.producer.cli.app import FAMILIES
from lockstep.producer.cli.app import lockstep as command

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "site"
ZENSICAL = ROOT / ".venv-docs" / "bin" / "zensical"
FRONT = ("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CHANGELOG.md")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)((?:#[^)]*)?)\)")
DOCTEST = re.compile(r'\n\n(( +)>>> .*\n(?:\2(?!""")\S.*\n)*)')
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["'](?:https?:)?//"""
    r"""|<link[^>]*(?:stylesheet|icon|preload|preconnect)[^>]*href=["'](?:https?:)?//"""
    r"""|@import\s+["'(]*(?:https?:)?//|url\(["']?(?:https?:)?//"""
)
"""What a browser would fetch from another server to show a page."""


def sources() -> Iterator[tuple[Path, str]]:
    """Yield each file of the repository that the site has, and its name there."""
    for name in FRONT:
        yield ROOT / name, "index.md" if name == "README.md" else name
    for path in sorted((ROOT / "docs").iterdir()):
        if path.suffix in (".md", ".png", ".svg", ".acl"):
            yield path, "pages.md" if path.name == "README.md" else path.name
    for path in sorted((ROOT / "docs" / "kinds").iterdir()):
        yield path, f"kind-{path.name}"
    yield ROOT / "examples" / "README.md", "examples.md"
    for name in ("results.md", "results.svg"):
        yield ROOT / "benchmarks" / name, name


def gather(pages: Path) -> None:
    """Copy every page, with links as the site has them; a file that is no page is named only."""
    names = {path.resolve(): name for path, name in sources()}
    for path, name in sources():
        if path.suffix != ".md":
            shutil.copyfile(path, pages / name)
            continue

        def moved(link: re.Match[str], page: Path = path) -> str:
            target = (page.parent / link[2]).resolve()
            if target in names:
                return f"[{link[1]}]({names[target]}{link[3]})"
            return link[1] if target.exists() else link[0]

        text = path.read_text("utf-8").replace("[Unreleased]", "Unreleased")
        (pages / name).write_text(LINK.sub(moved, text), "utf-8")


def gather_code(packages: Path) -> None:
    """Copy the code, with doctests under a heading by which the reference knows them."""
    shutil.copytree(ROOT / "lockstep", packages / "lockstep", ignore=shutil.ignore_patterns("__pycache__"))

    def headed(example: re.Match[str]) -> str:
        return f"\n\n{example[2]}Examples:\n{textwrap.indent(example[1], '    ')}"

    for path in (packages / "lockstep" / "producer" / "client").glob("*.py"):
        path.write_text(DOCTEST.sub(headed, path.read_text("utf-8")), "utf-8")


def options() -> str:
    """Return the reference of the command: what `--help` says of each, by family."""
    page = ["# All options\n", "What `lockstep COMMAND --help` says, made from the command itself.\n"]
    context = click.Context(command, info_name="lockstep", max_content_width=100)
    page.append(f"```text\n{command.get_help(context)}\n```\n")
    for title, family in FAMILIES.items():
        page.append(f"## {title}\n")
        for each in family:
            inner = click.Context(each, info_name=each.name, parent=context, max_content_width=100)
            page.append(f"### lockstep {each.name}\n\n```text\n{each.get_help(inner)}\n```\n")
    return "\n".join(page)


def api() -> str:
    """Return the reference of the Python API: every public name, from its docstrings."""
    page = ["# Python API\n", "Everything that `lockstep` exports. [From Python](python.md) has examples.\n"]
    kinds: dict[str, list[str]] = {"Client": [], "Errors": [], "Results and values": []}
    for name in sorted(lockstep.__all__):
        found = getattr(lockstep, name)
        home = f"{found.__module__}.{found.__qualname__}"
        is_error = isinstance(found, type) and issubclass(found, Exception)
        client = name in ("ClusterClient", "Operation", "load_settings", "load_inventory")
        kinds["Errors" if is_error else "Client" if client else "Results and values"].append(home)
    for title, homes in kinds.items():
        page.append(f"## {title}\n")
        page.extend(f"::: {home}\n" for home in homes)
    return "\n".join(page)


def fetched(site: Path) -> list[str]:
    """Name what the pages would fetch from elsewhere."""
    return [
        f"{path.relative_to(site)}: {found[0]}"
        for path in sorted(site.rglob("*"))
        if path.suffix in (".html", ".css")
        for found in FETCHED.finditer(path.read_text("utf-8"))
    ]


def main() -> int:
    """Build the site; 0 if nothing is wrong with it."""
    shutil.rmtree(BUILD, ignore_errors=True)
    pages = BUILD / "pages"
    pages.mkdir(parents=True)
    gather_code(BUILD / "packages")
    shutil.copyfile(ROOT / "mkdocs.yml", BUILD / "mkdocs.yml")
    gather(pages)
    (pages / "command.md").write_text(options(), "utf-8")
    (pages / "api.md").write_text(api(), "utf-8")
    built = subprocess.run([ZENSICAL, "build", "--clean", "--strict"], cwd=BUILD, check=False)
    if built.returncode:
        return built.returncode
    strangers = fetched(BUILD / "html")
    for each in strangers:
        print(f"fetched from elsewhere: {each}", file=sys.stderr)
    print(f"{BUILD / 'html' / 'index.html'}")
    return 1 if strangers else 0


if __name__ == "__main__":
    sys.exit(main())
