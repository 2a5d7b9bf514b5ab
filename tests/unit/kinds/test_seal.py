"""What is sealed opens with the keys of the file alone, and shows nothing of itself."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstep.producer.cli.options import FieldOptions
from lockstep.worker.kinds.seal import SealKeys
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.process.secrets import mask
from tests.unit.kinds.made import least

CANARY = 'cänary-#1/2"3'
ONE, TWO = (base64.b64encode(each * 32).decode() for each in (b"1", b"2"))


def test_a_sealed_text_opens_for_its_thing_alone_and_by_every_key_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of old\n{ONE}\n")
    keys = SealKeys(str(file))
    sealed = keys.of("user/a").seal(CANARY)
    assert keys.open("user/a", sealed) == CANARY
    assert sealed != keys.of("user/a").seal(CANARY), "no two are alike"
    assert len(sealed) == len(keys.of("user/a").seal("x")), "a short secret does not show how long it is"
    assert len(base64.b64decode(sealed.partition(":")[2])) == 12 + 64 + 16, "a nonce, the text, its tag"
    (old,) = keys.read()
    assert mask(ONE) == "…"
    assert re.fullmatch("[0-9a-f]{8}", old)
    file.write_text(f"{TWO}  # of today\n\n{ONE}\n")
    new, _ = keys.read()
    assert keys.of("user/a").seal("x").startswith(f"{new}:"), "a new key counts at once"
    assert keys.open("user/a", sealed) == CANARY
    assert keys.told() == f"{new}, {old}"
    file.write_text(TWO)
    for about, text in (
        ("user/a", sealed),
        ("user/b", keys.of("user/a").seal(CANARY)),
        ("user/a", f"{new}:x"),
        ("user/a", keys.of("user/a").seal(CANARY) + "*"),
    ):
        with pytest.raises(InvalidInput) as caught:
            keys.open(about, text)
        assert re.search(
            f"with key {old}, and .* has {new} alone|with key {new} does not open", str(caught.value)
        )
        assert "nary" not in str(caught.value)


def test_a_digest_of_what_is_sealed_tells_nobody_what_it_is_of(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{ONE}\n{TWO}")
    keys = SealKeys(str(tmp_path / "keys"))
    one, two = keys.read()
    seals = keys.of("user/a", one), keys.of("user/b", one), keys.of("user/a", two)
    digests = {hashlib.sha256(b"x").hexdigest(), *(each.digest("x") for each in seals)}
    assert len(digests) == 4
    assert keys.of("user/a").digest("x") in digests


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "has no key"),
        (b"# nothing\n\n", "has no key"),
        (b"canary-key\n", "line 1 of seal key file"),
        (b"\n" + base64.b64encode(b"canary" * 5), "line 2 of seal key file"),
        (f"*{ONE}".encode(), "line 1 of seal key file"),
        ("cänary".encode(), "it is not ASCII text"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_file_of_keys_is_named_without_any_of_it(
    tmp_path: Path, content: bytes | None, rule: str
) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        SealKeys(str(tmp_path / "keys")).of("user/a")
    assert rule in str(caught.value)
    assert "nary" not in str(caught.value)
    assert base64.b64encode(b"canary")[:8].decode() not in str(caught.value)


def test_what_sealing_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="LOCKSTEP_SEAL_KEY_FILE names a file"):
        SealKeys().of("user/a")
    (tmp_path / "keys").write_text(ONE)
    seal = SealKeys(str(tmp_path / "keys")).of("user/a")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(InvalidInput, match=r"pip install 'lockstep\[secrets\]'"):
        seal.seal("x")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("password", "names no file: write field=@FILE"),
        ("password=canary-in-clear", "names no file: write field=@FILE"),
        ("password=@{folder}/nothing", "cannot be read: No such file"),
        ("password=@{folder}/empty", "is empty"),
        ("password=@{folder}/latin", "is not UTF-8 text"),
    ],
)
def test_a_secret_is_read_from_a_file_and_shown_by_no_error(tmp_path: Path, given: str, rule: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes("cänary".encode("latin-1"))
    with pytest.raises(InvalidInput, match=re.escape(rule)) as caught:
        FieldOptions((), None, secrets=(given.format(folder=tmp_path),)).hidden()
    assert "nary" not in str(caught.value)


def test_a_file_of_a_secret_is_taken_without_the_line_break_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b" two\nlines \r\n")
    assert FieldOptions((), None, secrets=(f"p=@{tmp_path}/it",)).hidden() == {"p": " two\nlines "}


def test_what_is_wrong_with_a_secret_is_said_without_it() -> None:
    fields = "pin: {type: integer, sensitive: true}, word: {secret: true, pattern: '[a-z]+'}"
    kind = least(fields=f" {{{fields}, size: {{type: integer}}}}")
    asked: list[Callable[[], object]] = [
        lambda: kind.read("pin", "canary"),
        lambda: kind.parted({}, {"word": "CANARY"}),
        lambda: kind.parted({}, {"size": "canary"}),
        lambda: kind.target({"word": "canary"}),
        lambda: kind.target({"pin": "canary"}),
    ]
    for each in asked:
        with pytest.raises(InvalidInput) as caught:
            each()
        assert "canary" not in str(caught.value).lower()
