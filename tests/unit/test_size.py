"""The code stays small: no long files, and not many of them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST = 300
"""Lines of a file."""
MOST = 130
"""Python files of worker and producer together."""
ENTRIES = 12
"""Of a folder, without what every folder of code has."""
EVERYWHERE = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}


def code(*folders: str) -> list[Path]:
    return [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".lua"}
    ]


def kept(path: Path) -> bool:
    """Whether it is a file, or a folder with more than what Python left of one that was moved away."""
    return path.is_file() or any(each.is_file() and each.suffix != ".pyc" for each in path.rglob("*"))


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in code("worker", "producer", "mock_api", "tests")
    }
    assert {file: many for file, many in lines.items() if many > LONGEST} == {}


def test_worker_and_producer_have_few_files() -> None:
    assert sum(path.suffix == ".py" for path in code("worker", "producer")) <= MOST


def test_no_folder_holds_more_than_a_dozen_things() -> None:
    folders = {path.parent for path in code("worker", "producer", "mock_api")}
    entries = {
        str(folder.relative_to(ROOT)): len(
            {path.name for path in folder.iterdir() if kept(path)} - EVERYWHERE
        )
        for folder in folders
    }
    assert len(entries) > 20
    assert {folder: many for folder, many in entries.items() if many > ENTRIES} == {}
