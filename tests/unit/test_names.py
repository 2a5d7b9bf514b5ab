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
PUBLIC = {"HostStanding"}
"""Programs import it from `lockstep`."""
PLAIN = {"AlreadyRunning", "RunningStack"}
"""Say how a stack is, and not what is done."""
OF_KOMBU = {"QoS", "Transport", "SentinelTransport"}
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
    assert {name for name in classes() if gerund(name)} == PUBLIC | PLAIN


def test_no_two_classes_share_a_name() -> None:
    found = classes()
    assert len(found) > 200
    assert {name: places for name, places in found.items() if len(places) > 1}.keys() == OF_KOMBU
