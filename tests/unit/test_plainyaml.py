"""Plain YAML: the same values as YAML has, and a refusal for everything that surprises people."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.settings.plainyaml import DEEPEST, Place, parse_plain

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.dates()
    | st.binary()
)
KEYS = st.text()
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@given(DOCUMENTS)
def test_plain_yaml_reads_what_yaml_reads(document: object) -> None:
    text = yaml.dump(document, Dumper=NoAliases, allow_unicode=True)
    if "!!" not in text:
        assert parse_plain("it", text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "a", "7", "[]", "{}", "a: ~\nb: yes\nc: 0x1f\nd: 1.5\ne: '1'\nf: |\n  x\n  y\n"],
)
def test_plain_documents_are_read_as_yaml_reads_them(text: str) -> None:
    assert parse_plain("it", text) == yaml.safe_load(text)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nno: 2\n", 'it line 2 has the key no, which YAML reads as false: write "no"'),
        ("a: 1\nb: 2\na: 3\n", 'it line 3 has the key "a" a second time: drop one of them'),
        ("a:\n  - b: 1\n    b: 1\n", 'it line 3 has the key "b" a second time: drop one of them'),
        ("{a: 1, a: 2}\n", 'it line 1 has the key "a" a second time: drop one of them'),
        (BOMB, "it line 1 has a YAML anchor: write the value out"),
        ("a: *x\n", "it line 1 has a YAML alias: write the value out"),
        ("a: !!str 1\n", "it line 1 has a YAML tag: write the value out"),
        ("a: !!python/object/apply:os.system [ls]\n", "it line 1 has a YAML tag: write the value out"),
        ("a: ! b\n", "it line 1 has a YAML tag: write the value out"),
        ("<<: {a: 1}\n", 'it line 1 has "<<", which is no merge that YAML knows: put it in quotes'),
        (
            "a: 2026-99-99\n",
            'it line 1 has "2026-99-99", which is no timestamp that YAML knows: put it in quotes',
        ),
        ("? [a]\n: 1\n", "it line 1 has a list or mapping as a key: give a name"),
        ("a: 1\n---\nb: 1\n", "it line 2 begins a second document: give one"),
        ("a: " + "[" * 100_000, f"it line 1 is nested more than {DEEPEST} deep: write it flatter"),
        ("- " * 100_000, f"it line 1 is nested more than {DEEPEST} deep: write it flatter"),
    ],
    ids=lambda each: each[:30],
)
def test_what_is_not_plain_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_plain("it", text)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1\n", "it line 3 is not plain YAML: (did not find )?expected [^:]*"),
        ("a: \0", "it is not plain YAML: .*(control|not allowed|unacceptable).*"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line_and_the_parsers_words(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_plain("it", text)
    assert re.fullmatch(said, str(caught.value))


def test_twenty_lists_inside_one_another_are_read() -> None:
    assert parse_plain("it", "[" * 20 + "]" * 20) == json.loads("[" * 20 + "]" * 20)
    with pytest.raises(InvalidInput, match="nested more than 20 deep"):
        parse_plain("it", "[" * 21 + "]" * 21)


def test_the_line_of_each_value_is_told() -> None:
    lines: dict[Place, int] = {}
    parse_plain("it", "\na: 1\nb:\n  - c\n  - {d: 1,\n     e: 2}\n", lines)
    assert lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 1): 5,
        ("b", 1, "d"): 5,
        ("b", 1, "e"): 6,
    }


@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    said = "it "
    try:
        parse_plain("it", text)
    except InvalidInput as error:
        said = str(error)
    assert said.startswith("it ")
    assert "\n" not in said


def test_a_parser_that_has_a_limit_of_its_own_is_told_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = yaml.Mark("it", 0, 6, 0, None, 0)

    def parse(*_: object, **__: object) -> None:
        problem = "exceeded maximum nesting depth"
        raise yaml.scanner.ScannerError("while increasing flow level", None, problem, mark)

    monkeypatch.setattr(yaml, "parse", parse)
    with pytest.raises(InvalidInput, match=f"^it line 7 is nested more than {DEEPEST} deep"):
        parse_plain("it", "a: " + "[" * 2000)
