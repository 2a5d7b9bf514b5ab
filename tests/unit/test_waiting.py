"""No test waits for a time instead of a condition, and none takes one read of a stream for all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READS = ("os.read", "recv")
SLEEPS = ("time.sleep", "asyncio.sleep")
ALLOWED = {
    "tests/waits.py: time.sleep",
    "tests/chaos/proxy.py: asyncio.sleep",  # lets others run, for no time
    "tests/contract/producer/test_async.py: asyncio.sleep",  # waits in a loop of its own
    # A datagram comes whole.
    "tests/warm.py: recv",
    "tests/integration/test_slow_names.py: recv",
    # Whether anything came is the question.
    "tests/contract/test_tls_hosts.py: recv",
    "tests/unit/places.py: recv",
}


def calls(tree: ast.AST, looping: bool = False) -> Iterator[str]:
    """The calls that sleep, and those that read more than one byte once and not again and again."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            short = name if name in (*READS, *SLEEPS) else name.rpartition(".")[2]
            size = node.args[-1] if node.args else None
            whole = isinstance(size, ast.Constant) and size.value == 1
            if short in SLEEPS or (short in READS and not looping and not whole):
                yield short
        inner = not isinstance(node, ast.FunctionDef) and (looping or isinstance(node, ast.While))
        yield from calls(node, inner)


def test_no_test_sleeps_or_reads_once() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {call}"
        for path in (ROOT / "tests").rglob("*.py")
        for call in calls(ast.parse(path.read_text("utf-8")))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("seen = os.read(ours, 4096)", ["os.read"]),
        ("for _ in 'ab': seen += peer.recv(65536)", ["recv"]),
        ("while True:\n def later(): return peer.recv(9)", ["recv"]),
        ("while b'x' not in seen: seen += peer.recv(65536)", []),
        ("while piece := os.read(ours, 4096): seen += piece", []),
        ("peer.recv(1)", []),
        ("time.sleep(1)", ["time.sleep"]),
    ],
)
def test_a_sleep_and_a_single_read_are_found(code: str, found: list[str]) -> None:
    assert [*calls(ast.parse(code))] == found
