"""The file of a kind: the least that is one, every error with its line, and the digest of what it defines."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.producer.cli import main
from lockstep.worker.kinds import Kinds
from lockstep.worker.kinds.rules import BadKind
from lockstep.worker.operation.errors import InvalidInput
from tests.unit.kinds.made import LEAST, kind_of, least

PARTS = "a, b, c, d, e, f, g, h"


def test_four_lines_and_the_fields_are_a_whole_kind() -> None:
    kind = kind_of(LEAST)
    assert (kind.name, list(kind.fields), "update" in kind.writes) == (
        "vhost",
        ["description", "tags"],
        True,
    )


def test_every_shipped_kind_keeps_the_rules() -> None:
    kinds = Kinds()
    for name in kinds.names():
        assert kinds.find(name).definition.about, f"{name} has no line for people"
    assert set(kinds.names()) >= {"group", "etcd-key", "influxdb-database", "powerdns-zone", "rabbitmq-user"}


def test_all_errors_are_told_at_once_each_with_its_line_and_its_rule() -> None:
    text = """\
    kind: vh@st
    fields:
      tags:
        type: sett
      size: {tpye: integer}
    look:
      request: GET /x/{id}
      present: {status: 200, where: "!body.a"}
    create: PUT /x
    """
    with pytest.raises(BadKind) as error:
        kind_of(text, "vhost.yaml")
    assert {(each.line, each.place) for each in error.value.faults} == {
        (1, "kind"),
        (4, "fields.tags.type"),
        (5, "fields.size.tpye"),
        (8, "look.present.0.where"),
        (1, ""),
    }
    told = str(error.value)
    assert told.startswith("vhost.yaml line 1: ")
    assert "\n" not in told
    assert "lacks `delete`" in told
    assert "write !(a.b)" in told


@pytest.mark.parametrize(
    ("changed", "place", "words"),
    [
        # A look that writes would run in plan and drift.
        ({"look": "POST /x/{id}"}, "look.request", "reads: true"),
        ({"look": "{request: 'GET /x/{id}', witness: POST /y}"}, "look.witness", "must be a GET"),
        ({"look": "{request: 'GET /x/{id}', absent: [404, 403]}"}, "look.absent", "names 403"),
        ({"look": "{request: 'GET /x/{id}', absent: 301}"}, "look.absent", "names 301"),
        ({"look": "{request: 'GET /x/{id}', present: [200, 503]}"}, "look.present", "names 503"),
        ({"look": "{request: 'GET /x/{id}', busy: 503}"}, "look.busy", "`where`"),
        ({"look": "{request: 'GET /x/{id}', content: {size: item.size}}"}, "look.content.size", "no field"),
        ({"look": "{request: 'GET /x/{id}', item: bdoy.items}"}, "look", "takes bdoy"),
        ({"look": "{request: GET /x, item: 'body[?name == id.id]'}"}, "look", "use select()"),
        ({"look": "{request: 'GET /x/{name}'}"}, "look.request", "{name}"),
        ({"look": "HEAD /x/{id}"}, "look.request", "shows no content"),
        ({"create": "GET /x/{id}"}, "create.request", "caches and proxies"),
        ({"create": "{request: 'PUT /x/{id}', applied: 404}"}, "create.applied", "without `where`"),
        (
            {"create": "{request: 'PUT /x/{id}', applied: {status: 401, where: 'body'}}"},
            "create.applied",
            "401",
        ),
        ({"create": "{request: 'PUT /x/{id}', contested: 200}"}, "create.contested", "without `where`"),
        ({"create": "{request: 'PUT /x/{id}', contested: 412, later: 412}"}, "create.later", "as contested"),
        ({"create": "{request: 'PUT /x/{id}', later: 503}"}, "create.later", "without `where`"),
        ({"create": "{request: 'PUT /x/{id}', json: {a: content.siez}}"}, "create", "takes content.siez"),
        ({"look": "{request: 'GET /x/{id}', item: id.no}"}, "look", "takes id.no; id has id"),
        ({"create": "{request: 'PUT /x/{id}', json: {a: content.siez}}"}, "create", "has description, tags"),
        ({"create": "{request: 'PUT /x/{id}', json: {a: secret.a}}"}, "create", "secret has nothing"),
        ({"create": "{request: 'PUT /x/{id}', json: {a: body.a}}"}, "create", "takes body"),
        ({"create": "{request: 'PUT /x/{id}', json: {}, text: id.id}"}, "create", "more than one"),
        ({"create": "{request: 'PUT /x/{id}', json_: {}}"}, "create.json_", "not known here"),
        (
            {"create": "{request: 'PUT /x/{id}', headers: {Host: id.id}}"},
            "create.headers.Host",
            "cannot be set",
        ),
        (
            {"create": "{request: 'PUT /x/{id}', headers: {authorization: id.id}}"},
            "create.headers.authorization",
            "",
        ),
        ({"delete": "DELETE /x"}, "delete", "does not say which"),
        ({"delete": "DELETE /x/../{id}"}, "delete.request", "resolve away"),
        ({"delete": "DELETE /x/%2E%2E/{id}"}, "delete.request", "write %XX"),
        ({"delete": "DELETE /x?y={id}"}, "delete.request", "`query`"),
        ({"delete": "DELETE //x/{id}"}, "delete.request", "empty segment"),
        ({"delete": "DELETE http://other/{id}"}, "delete.request", "must match"),
        ({"delete": "{request: 'DELETE /x/{address}'}"}, "delete.request", "{address}"),
        ({"update": "{like: delete2}"}, "update.like", ""),
        ({"id": "{parts: [id, id]}"}, "id.parts", "twice"),
        ({"id": "{pattern: '['}"}, "id.pattern", "regular expression"),
        ({"id": "{canonical: {x: '@'}}"}, "id.canonical.x", "no part"),
        ({"lock": "'a/{x}'"}, "lock", "{x}"),
        ({"fields": "{p: {secret: true, kept_as: hash}}"}, "fields.p.kept_as", "look.keep has not"),
        ({"fields": "{p: {secret: true, default: x}}"}, "fields.p", "no default"),
        ({"fields": "{p: {kept_as: hash}}"}, "fields.p.kept_as", "secret: true"),
        ({"fields": "{p: {type: integer, pattern: x}}"}, "fields.p.pattern", "for texts"),
        ({"error": "'a b'"}, "error", "no JMESPath"),
        ({"create": "{request: 'PUT /x/{id}', json: {a: 'b c'}}"}, "create.json", "no JMESPath"),
        ({"fields": "[a]"}, "fields", "fields is ['a']: input should be a valid dictionary"),
        ({"look": "{request: 'GET /x/{id}', present: {where: body}}"}, "look.present.0", "lacks `status`"),
        (
            {"look": "{request: 'GET /x/{id}', address: item.a, witness: 'GET /y/{address}'}"},
            "look.witness",
            "names {address}",
        ),
        (
            {"look": "{request: 'GET /x/{id}', address: item.a}", "update": "'PUT /x/{address}/{nobody}'"},
            "update.request",
            "names {nobody}",
        ),
        ({"look": "{request: 'GET /x/{id}', busy: 99}"}, "look.busy.0.status", "equal to 100"),
        ({"look": "{request: 'GET /x/{id}', busy: 100}"}, "look.busy", "names 100"),
        ({"look": "{request: 'GET /x/{id}', busy: 600}"}, "look.busy.0.status", "equal to 599"),
        ({"look": "{request: 'GET /x/{id}', busy: {status: '409'}}"}, "look.busy.0.status", "integer"),
        ({"look": "{request: 'GET /x/{id}', absent: 407}"}, "look.absent", "names 407"),
        ({"id": "{parts: []}"}, "id.parts", "at least 1"),
        ({"id": f"{{parts: [{PARTS}, i]}}"}, "id.parts", "at most 8"),
        ({"examples": f"{{id: a, contents: [{'{}, ' * 9}]}}"}, "examples.contents", "at most 8"),
    ],
)
def test_a_broken_rule_is_named(changed: dict[str, str], place: str, words: str) -> None:
    with pytest.raises(BadKind) as error:
        least(**changed)
    assert place in {each.place for each in error.value.faults}, error.value
    assert words in str(error.value)


def test_a_status_and_a_list_may_be_as_large_as_is_said() -> None:
    path = "/".join(f"{{{each}}}" for each in PARTS.split(", "))
    kind = least(
        id=f"{{parts: [{PARTS}]}}",
        look=f"{{request: 'GET /x/{path}', busy: {{status: 599, where: body.b}}}}",
        **dict.fromkeys(("create", "update", "delete"), f"PUT /x/{path}"),
        examples=f"{{id: a, contents: [{'{}, ' * 8}]}}",
    )
    assert (kind.definition.look.busy[0].status, len(kind.definition.id.parts)) == (599, 8)


def test_a_secret_that_no_write_restores_is_refused() -> None:
    look = "{request: 'GET /x/{id}', keep: {hash: item.hash}}"
    with pytest.raises(BadKind, match=r"no write sends kept\.hash"):
        least(fields="{p: {secret: true, kept_as: hash}}", look=look)
    least(
        fields="{p: {secret: true, kept_as: hash}}",
        look=look,
        create="{request: 'PUT /x/{id}', json: {hash: kept.hash}}",
    )


@pytest.mark.parametrize(
    "text",
    ["- a", "kind: &a x\n", "kind: x\nkind: y\n", "kind: [", "fields: {a: {default: 2024-01-01}}", "1: 2"],
)
def test_what_is_no_plain_mapping_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"it\.yaml.* line|not plain YAML"):
        kind_of(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("- a", "holds no mapping: start it with `kind: NAME`"),
        (
            "fields: {a: {default: 2024-01-01}}",
            "has a value or key that is no JSON (date is no JSON): put",
        ),
    ],
)
def test_what_is_no_json_is_told_of_the_first_line(text: str, rule: str) -> None:
    with pytest.raises(BadKind) as error:
        kind_of(text)
    assert str(error.value).startswith(f"it.yaml line 1: {rule}")


def test_what_a_whole_file_lacks_is_told_of_the_line_where_it_begins() -> None:
    with pytest.raises(BadKind) as error:
        kind_of("# of mine\n" + LEAST.strip().replace("delete: DELETE", "# DELETE"))
    assert [(each.line, each.place) for each in error.value.faults] == [(2, "")]


def test_a_verb_begins_like_another_and_the_digest_is_that_of_the_file() -> None:
    kind = kind_of(LEAST)
    like = kind_of(LEAST.replace("update: PUT /api/vhosts/{id}", "update: {like: create, applied: 204}"))
    one = kind.parse("vhost/a")
    assert like.request("update", one) == kind.request("update", one)
    assert like.digest != kind.digest
    assert kind_of(LEAST + "about: anything\nerror: body.why\nexamples: {id: a}\n").digest == kind.digest
    assert kind_of(LEAST.replace("default: []", "default: [a]")).digest != kind.digest


def test_definitions_that_were_replaced_are_found_beside_the_new_one_and_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "vhost.yaml"
    file.write_text(LEAST)
    kinds = Kinds([tmp_path])
    old = kinds.find("vhost")
    file.write_text(LEAST + "settle: 5s\n")
    new = kinds.find("vhost")
    assert new.digest != old.digest
    assert kinds.find(f"vhost@{old.digest[:6]}") is old  # remembered
    assert kinds.find(new.digest[:12]) is new
    other = Kinds([tmp_path])
    with pytest.raises(InvalidInput, match=f"put that file back, as vhost@{old.digest[:8]}.yaml"):
        other.find(f"vhost@{old.digest}")
    (tmp_path / f"vhost@{old.digest[:8]}.yaml").write_text(LEAST)
    assert other.find(f"vhost@{old.digest}").digest == old.digest
    assert "vhost" in other.names()


def test_a_file_is_named_after_its_kind_and_an_unknown_one_names_the_known(tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text(LEAST)
    with pytest.raises(InvalidInput, match=r"name it vhost\.yaml"):
        Kinds([tmp_path]).find("host")
    with pytest.raises(InvalidInput, match=r"known: consul-key, etcd-key, .*vault-policy$"):
        Kinds().find("nonsense")
    with pytest.raises(InvalidInput, match=r"vault-policy; folder '.*/nowhere' is not there$"):
        Kinds([tmp_path / "nowhere", tmp_path]).find("nonsense")
    assert Kinds().parse("team-a")[1].text == "group/team-a"


def test_the_list_tells_of_a_folder_that_is_not_there_and_has_those_of_the_inventory_and_the_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.yaml").write_text(LEAST.replace("kind: vhost", f"kind: {name}"))
    (tmp_path / "hosts.yaml").write_text("kinds: one\nhosts: [{name: n, url: 'http://127.0.0.1:1'}]\n")
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(tmp_path / "hosts.yaml"))
    monkeypatch.setenv("LOCKSTEP_KINDS", str(tmp_path / "other"))
    assert main(["kinds"]) == 0
    assert {"one", "other"} <= {line.partition("@")[0] for line in capsys.readouterr().out.splitlines()}
    monkeypatch.setenv("LOCKSTEP_KINDS", str(tmp_path / "nowhere"))
    assert main(["kinds"]) == 1
    assert capsys.readouterr().err == f"lockstep: folder '{tmp_path / 'nowhere'}' is not there\n"


def test_a_check_tells_each_mistake_on_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "it.yaml"
    broken = "kind: it\nid: {pattern: '('}\nlook: GET /it/{id}\ncreate: PUT it\ndelete: DELETE /it/{id}\n"
    file.write_text(LEAST)
    assert main(["kinds", "check", str(file)]) == 0
    assert "it has to be called vhost.yaml" in capsys.readouterr().err
    file.write_text(broken)
    assert main(["kinds", "check", str(file)]) == 2
    told = [line.removeprefix(f"{file}:") for line in capsys.readouterr().err.splitlines()]
    assert told == [
        "2: id.pattern is no regular expression: missing ), unterminated subpattern at position 0",
        '4: create.request is "PUT it": it must match ^[A-Z]{3,10} /\\S*$',
    ]
