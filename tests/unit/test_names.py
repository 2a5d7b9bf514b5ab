"""Names say what a thing is: no gerunds, and one class for one name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("worker", "producer", "mock_api")
GERUND = re.compile(r"[a-z]ings?(?=[A-Z_]|$)")
NOUNS = {"thing", "things", "finding", "settings", "monitoring", "tracing"}
"""End like a gerund, and are nouns of the language or of the field."""
PLAIN = {"AlreadyRunning", "RunningStack"}
"""Say how a stack is, and not what is done."""
OF_KOMBU = {"QoS", "Transport"}
"""kombu looks for these in the module that it is told: one has its own transport below, the other ours."""


def classes() -> dict[str, list[str]]:
    """The public classes at the top of a module, with the modules."""
    found = defaultdict(list)
    for part in PARTS:
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path.relative_to(ROOT)))
    return found


def gerund(name: str) -> str:
    """Which word of a name is one; empty without any."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return next((word for word in words if GERUND.search(word) and word.lower() not in NOUNS), "")


def test_no_module_or_folder_has_a_gerund_for_a_name() -> None:
    paths = [path for part in PARTS for path in (ROOT / part).rglob("*")]
    named = {path for path in paths if path.suffix in {".py", ".lua"} or (path.is_dir() and path.parts)}
    assert len(named) > 150
    assert {str(path.relative_to(ROOT)) for path in named if gerund(path.stem)} == set()


def test_no_public_class_has_a_gerund_for_a_name() -> None:
    assert {name for name in classes() if gerund(name)} == PLAIN


def test_no_two_classes_share_a_name() -> None:
    found = classes()
    assert len(found) > 200
    assert {name: places for name, places in found.items() if len(places) > 1}.keys() == OF_KOMBU


AVOIDED = re.compile("abort|compensat|mutex|quarantin|revert|transaction", re.IGNORECASE)
"""Beginnings of words that docs/glossary.md has others for."""
OF_LIBRARIES = {
    *("Mutex", "MutexHeld", "unacked_mutex_key", "unacked_mutex_expire"),  # kombu
    *("transaction", "PREREQFUNC_ABORT", "abort", "Abort"),  # redis-py, libcurl, asyncio, click
}


def names_with(word: re.Pattern[str], *folders: str) -> set[str]:
    """The names with a word in them, of Python and of scripts; of scripts, what they answer with, too."""
    found = set[str]()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*")):
        if path.suffix == ".lua":
            found.update(name for name in re.findall(r"\w+", path.read_text("utf-8")) if word.search(name))
        elif path.suffix == ".py" and word.search(text := path.read_text("utf-8")):
            for node in ast.walk(ast.parse(text)):
                names = (str(getattr(node, kind, None)) for kind in ("id", "attr", "name", "arg"))
                found.update(name for name in names if word.search(name))
    return found


def test_names_in_code_are_words_of_the_glossary() -> None:
    assert names_with(AVOIDED, *PARTS) == OF_LIBRARIES


def test_a_get_that_finds_out_what_a_host_holds_is_a_look_and_no_probe() -> None:
    folders = ("operation", "record", "steps", "tasks", "hosts", "kinds", "inventory")
    assert names_with(re.compile("look"), "worker/hosts")
    kept = {"probed", "probed_at"}  # of records, those of the release before too
    assert names_with(re.compile("probe"), *(f"worker/{folder}" for folder in folders)) == kept


def test_no_name_of_a_test_needs_the_test_before_it_to_be_understood() -> None:
    back = re.compile(
        r"^(?:async )?def (test_(?:so|it|its|and|or|nor|but|those|they|also)_\w+)", re.MULTILINE
    )
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(texts) > 200
    assert [name for text in texts for name in back.findall(text)] == []
