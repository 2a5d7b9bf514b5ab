from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.ship import release, release_check
from tests.ship.release import IMAGE, ROOT, pin, places, unpinned

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path, text in places(ROOT).items():
        place = tmp_path / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path


def test_every_image_of_others_is_looked_at() -> None:
    """Ours has no registry in its name; of others' there is one in whatever names an image."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    named = {
        (path, image)
        for path in listed.stdout.split()
        if re.search(r"(^|/)Dockerfile$|\.ya?ml$", path) and not path.startswith(("tests/", ".github/"))
        for image in re.findall(
            r"^\s*(?:-?\s*image:|FROM|ARG PYTHON=)\s*([^\s$]+[/:][^\s$]+)$", (ROOT / path).read_text(), re.M
        )
        if not image.startswith("lockstep:")
    }
    assert {str(path.relative_to(ROOT)) for path in places(ROOT)} == {path for path, _ in named}
    assert {image for _, image in named if not IMAGE.fullmatch(image)} == set()


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
    before = places(copy)
    pin(copy, digest)
    assert places(copy) == before


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


def test_a_release_has_one_version_and_a_dated_section_with_nothing_above_it(tmp_path: Path) -> None:
    def write(image: str, changelog: str) -> None:
        (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
        (tmp_path / "Dockerfile").write_text(f"ARG VERSION={image}\n")
        (tmp_path / "CHANGELOG.md").write_text(changelog)

    write("1.2.3", "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n- All.\n")
    assert release_check.version(tmp_path) == "1.2.3"
    assert release_check.changelog(tmp_path) == "[1.2.3] of 2026-12-01"
    write("1.2.2", "")
    with pytest.raises(release_check.Wrong, match=r"says 1\.2\.3, the Dockerfile 1\.2\.2"):
        release_check.version(tmp_path)
    for wrong in (
        "## [Unreleased]\n\n- New.\n\n## [1.2.3] - 2026-12-01\n",
        "## [Unreleased]\n\n## [1.2.3]\n",
        "## [Unreleased]\n\n## [1.2.2] - 2026-12-01\n",
    ):
        write("1.2.3", wrong)
        with pytest.raises(release_check.Wrong):
            release_check.changelog(tmp_path)


def test_what_is_wrong_counts_more_than_what_could_not_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(code: int) -> str:
        leave = f"import sys; print('said'); sys.exit({code})"
        return release_check.run(sys.executable, "-c", leave, unchecked=2)

    checks = {"a": lambda: ends(0), "b": lambda: ends(2), "c": lambda: ends(1)}
    assert release_check.main({"a": checks["a"]}) == 0
    assert release_check.main({"a": checks["a"], "b": checks["b"]}) == 2
    capsys.readouterr()
    assert release_check.main(checks) == 1
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["a", "ok", "said"],
        ["b", "NOT", "CHECKED", "said"],
        ["c", "WRONG", "said"],
    ]
