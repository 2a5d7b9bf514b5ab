from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests

from tests.ship import release
from tests.ship.release import PLACES, ROOT, pin, unpinned

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for place in PLACES:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text((ROOT / place).read_text("utf-8"))
    return tmp_path


def test_every_image_of_others_is_looked_at() -> None:
    named = {
        line.split("image:")[1].strip()
        for path in (ROOT / "manifests").rglob("*.yaml")
        for line in path.read_text("utf-8").splitlines()
        if "image: docker.io/" in line
    }
    assert named
    assert all(any(image in (ROOT / place).read_text("utf-8") for place in PLACES) for image in named)


def test_images_are_pinned_once_and_for_all(copy: Path) -> None:
    asked: list[tuple[str, str]] = []

    def digest(name: str, tag: str) -> str:
        asked.append((name, tag))
        return DIGEST

    pin(copy, digest)
    assert [name for name, _ in asked] == ["library/python", "valkey/valkey"]
    assert list(unpinned(copy)) == []
    text = (copy / "docker-compose.yml").read_text("utf-8")
    assert text.count(f"docker.io/valkey/valkey:{asked[1][1]}@{DIGEST}\n") == 1
    before = {place: (copy / place).read_text("utf-8") for place in PLACES}
    pin(copy, digest)
    assert {place: (copy / place).read_text("utf-8") for place in PLACES} == before


def test_without_a_registry_nothing_is_pinned_and_a_line_says_so(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(name: str, tag: str) -> str:
        raise requests.ConnectionError

    before = list(unpinned(copy))
    monkeypatch.setattr(release, "ROOT", copy)
    monkeypatch.setattr(release, "digest_of", away)
    assert release.main("pin") == 2
    assert list(unpinned(copy)) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "pin: the registry of docker.io cannot be asked (ConnectionError): nothing was pinned"
    assert release.main("pinned") == (1 if before else 0)


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        ("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org')", 2, "cannot be reached"),
        ("celery  Dependency not found on PyPI and could not be audited: celery", 2, "nothing of 1 packages"),
        ("Found 1 known vulnerability in 1 package", 1, "Found 1 known vulnerability"),
    ],
)
def test_an_audit_without_data_is_told_from_one_that_found_something(
    said: str, code: int, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(release, "run", lambda *_: done)
    assert release.main("audit") == code
    out, err = capsys.readouterr()
    assert expected in out + err
    assert len((out + err).splitlines()) == 1
