"""`lockstep kinds`: what it lists, what it says of a file, and a walk on a host that it tells of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep.producer import looks
from lockstep.producer.cli import main
from lockstep.producer.cli.commands import kinds
from lockstep.worker.kinds import SHIPPED
from lockstep.worker.operation.host import Auth
from tests.unit.kinds.test_walk import FILE, Api

HOST = "http://n:80"


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "vhost.yaml").write_text(FILE)
    return str(tmp_path / "vhost.yaml")


def api(monkeypatch: pytest.MonkeyPatch, odd: str = "") -> Api:
    made = Api(odd)
    monkeypatch.setattr(looks, "exchange", made)
    return made


def test_the_list_has_the_shipped_kinds_and_names_a_file_that_is_broken(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_KINDS", str(tmp_path))
    assert main(["kinds"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [name for name, _ in rows] == sorted(name for name, _ in rows)
    assert {path.stem for path in SHIPPED.glob("*.yaml")} < {name.partition("@")[0] for name, _ in rows}
    assert "vhost/ID" in [form for _, form in rows]

    (tmp_path / "broken.yaml").write_text("kind: broken\n")
    assert main(["kinds", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    (vhost,) = [each for each in told["kinds"] if each["kind"] == "vhost"]
    assert (vhost["file"], set(vhost["fields"])) == (file, {"description", "tags"})
    assert any("broken.yaml" in each for each in told["broken"])


def test_the_schema_is_one_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"kind", "look", "create", "delete"} <= set(schema["properties"])
    number, answer, several = schema["$defs"]["LookFile"]["properties"]["present"]["anyOf"]
    assert several["items"] == {"anyOf": [number, answer]}


def test_a_walk_tells_each_finding_and_leaves_nothing(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = api(monkeypatch)
    assert main(["kinds", "check", file, "--host", HOST, "--id", "scratch"]) == 0
    said = capsys.readouterr()
    assert "vhost/scratch is made on http://n:80, changed and deleted again\n" in said.err
    assert "it overwrites, as the file says (replaced)" in said.out
    assert node.held == {}

    api(monkeypatch, "refuses")
    assert main(["kinds", "check", file, "--host", HOST, "--id", "scratch", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["thing"], told["healthy"], told["left"]) == (
        "vhost", "vhost/scratch", False, False,
    )  # fmt: skip
    assert [each["subject"] for each in told["findings"] if each["level"] == "failure"] == ["create"]


def test_a_walk_goes_to_a_host_of_the_inventory_by_its_name(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: [{name: dns1, url: 'http://n:80'}]\n")
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(inventory))
    node = api(monkeypatch)
    assert main(["kinds", "check", file, "--host", "dns1", "--id", "scratch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["host"] == "dns1"
    assert node.serial > 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--host", HOST], "has no examples.id: give a free id with --id"),
        (["--host", "dns1", "--id", "a"], "host dns1 is no URL, and there is no inventory"),
        (["--host", HOST, "--id", "a", "--key", "X-Key"], "--key X-Key is no HEADER=FILE"),
        (["--host", HOST, "--id", "a", "--key", "=file"], "--key =file is no HEADER=FILE"),
    ],
)
def test_what_a_walk_lacks_is_said_before_anything_is_sent(
    file: str,
    more: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = api(monkeypatch)
    assert main(["kinds", "check", file, *more]) == 2
    said = capsys.readouterr()
    assert (said.out, node.serial) == ("", 0)
    assert words in said.err


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent, latin = tmp_path / "absent.yaml", tmp_path / "latin.yaml"
    latin.write_bytes("about: größer".encode("latin-1"))
    assert main(["kinds", "check", str(absent)]) == 2
    assert f"kind file {absent} cannot be read: No such file or directory" in capsys.readouterr().err
    assert main(["kinds", "check", str(latin)]) == 2
    assert f"kind file {latin} is no UTF-8 text" in capsys.readouterr().err
    assert main(["kinds", "check", "group", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True


def test_a_file_by_another_name_than_its_kind_is_told_of(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = "in a folder of kinds it has to be called vhost.yaml\n"
    for name, said in (("vhost.yaml", ""), ("vhost@3f2a.yaml", ""), ("other.yaml", named)):
        (tmp_path / name).write_text(FILE)
        assert main(["kinds", "check", str(tmp_path / name)]) == 0
        assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("login", "key", "auth"),
    [
        (None, None, None),
        ("f", None, Auth("f", basic=True)),
        (None, "X-Key=f=g", Auth("f=g", "X-Key")),
    ],
)
def test_a_walk_logs_in_as_it_is_told(login: str | None, key: str | None, auth: Auth | None) -> None:
    assert kinds._auth(login, key) == auth


def test_the_list_has_the_fields_of_a_kind(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_KINDS", str(tmp_path))
    assert main(["kinds"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if " vhost/ID " in line]
    assert row.split("  vhost/ID")[1].split()[:2] == ["description,", "tags"]
