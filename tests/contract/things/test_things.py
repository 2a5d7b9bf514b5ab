"""Things of a kind of one's own, on three nodes: all hosts or none, each with its own content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep import ClusterClient, Pace
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.errors import CancelRefused, GroupBusy, InvalidInput
from lockstep.worker.operation.model import Stage, State
from tests.integration.kinds.node import PATH, THING, Rig
from tests.waits import PATIENCE, eventually


def test_create_set_and_delete_on_every_host_that_serves_the_kind(rig: Rig) -> None:
    created = rig.cli("create", THING, "--set", "text=hello", "--set", "tags=a,b")
    assert created.stdout.startswith('created notice "team%2Fa" on 3 hosts (operation '), created
    assert rig.nodes[0].holds[PATH] == {"text": "hello", "tags": ["a", "b"]}
    assert rig.nodes[0].asked[-1] == f"GET {PATH} 200", "a look proved it"
    rig.nodes[1].plant(PATH, "another", owner="bob")
    in_waves = rig.client.set(THING, text="new", pace=Pace("1,100%"))
    assert in_waves.wait(PATIENCE).committed
    assert (rollout := in_waves.status().rollout) is not None
    assert rollout.waves == 2
    assert rig.texts() == ["new"] * 3
    assert rig.nodes[1].holds[PATH]["owner"] == "bob", "what is not given stays"
    again = rig.client.set(THING, text="new").wait(PATIENCE)
    assert {host.outcome for host in again.hosts} == {"unchanged"}
    listed = [line.split()[1] for line in rig.cli("list", "--limit", "3").stdout.splitlines()[1:]]
    assert listed == ["set", "set", "create"], "as it was asked"
    assert rig.cli("exists", "node1", THING).stdout == f"{THING} exists on node1\n"
    refused = rig.cli("delete", THING)
    assert (refused.returncode, "would not bring back its readers" in refused.stderr) == (2, True)
    assert rig.client.delete(THING, accept_loss=True).wait(PATIENCE).committed
    assert rig.texts() == [None] * 3
    assert rig.cli("exists", "node1", THING).returncode == 1


def test_a_failed_set_brings_each_host_back_to_its_own_content(rig: Rig, tmp_path: Path) -> None:
    for node, text in zip(rig.nodes, ("one", "two", "three"), strict=True):
        node.plant(PATH, text)
    rig.nodes[2].refuses = True
    ran = rig.cli("set", THING, "--set", "text=new", "--json")
    document = json.loads(ran.stdout)
    assert ran.returncode == 1, ran
    assert (document["action"], document["verb"]) == ("create", "set")
    assert document["reason"].startswith("node3 refused (403")
    page = tmp_path / "report.html"
    assert rig.cli("report", document["id"], "--html", str(page)).returncode == 0
    assert (  # of the others, it may have been decided before they were looked at
        "<dt>node3</dt><dd><pre>"
        '<span class="old">- text: &quot;three&quot;</span>\n<span class="new">+ text: &quot;new&quot;</span>'
    ) in page.read_text()
    assert rig.texts() == ["one", "two", "three"]


@pytest.mark.parametrize("choice", ["--restore", "--leave"])
def test_what_somebody_else_wrote_meanwhile_is_left_to_a_person(rig: Rig, choice: str) -> None:
    for node, text in zip(rig.nodes, ("one", "two", "three"), strict=True):
        node.plant(PATH, text)
    theirs = {"text": "theirs", "tags": [], "owner": "x"}
    rig.nodes[0].usurper = theirs
    operation = rig.client.set(THING, text="new")
    eventually(lambda: any(step.trace and step.trace.foreign for step in operation.steps()), "it waits")
    eventually(lambda: operation.status().pending_hosts == ("node1",), "others do not, begun or not")
    assert rig.texts() == ["theirs", "two", "three"]
    why = next(step.reason or "" for step in operation.steps() if step.host == "node1")
    assert why.startswith("was changed by somebody else: it shows what neither was there nor is asked for")
    shown = rig.cli("show", operation.id).stdout
    assert "  PUT " in shown
    assert "POST" not in shown
    assert [line.strip() for line in shown.partition("\nnode1:\n")[2].splitlines()[:5]] == [
        '- text: "one"',
        '+ text: "new"',
        "shows instead, by somebody else:",
        '- text: "one"',
        '+ text: "theirs"',
    ]
    refused = rig.cli("resolve", operation.id, "node2", choice)
    assert refused.returncode == 8, refused
    assert rig.cli("resolve", operation.id, "node1", choice).returncode == 0
    state = State.ROLLED_BACK if choice == "--restore" else State.ABANDONED
    eventually(lambda: operation.status().state is state, "it has ended")
    assert rig.texts() == ["one" if choice == "--restore" else "theirs", "two", "three"]


def test_a_set_is_called_a_set_when_it_is_cancelled_and_a_delete_a_delete_when_it_is_repaired(
    rig: Rig,
) -> None:
    for node in rig.nodes:
        node.plant(PATH, "one")
    held = rig.client.set(THING, text="new", pace=Pace("1,100%", hold=True))
    busy = f'^notice/team%2Fa is busy: operation "{held.id}" '
    with ClusterClient(rig.client.settings.but(lock_wait=0.0)) as other, pytest.raises(GroupBusy, match=busy):
        other.delete(THING, accept_loss=True)
    assert (
        rig.cli("cancel", held.id).stdout == f'cancelled operation {held.id}: set "{THING}" is rolled back\n'
    )
    assert held.wait(PATIENCE).state is State.ROLLED_BACK
    committed = rig.client.set(THING, text="new")
    assert committed.wait(PATIENCE).committed
    with pytest.raises(CancelRefused, match=r"it is committed; set or delete it instead$"):
        committed.cancel()
    assert rig.client.delete(THING, accept_loss=True).wait(PATIENCE).committed
    rig.nodes[0].plant(PATH, "theirs")
    repaired = rig.cli("repair", THING, "--accept-loss")
    assert repaired.stdout.startswith('deleted notice "team%2Fa" on 1 host (operation '), repaired


def test_a_failed_delete_brings_the_content_back(rig: Rig) -> None:
    for node, text in zip(rig.nodes, ("one", "two", "three"), strict=True):
        node.plant(PATH, text)
    rig.nodes[0].refuses = True
    assert rig.client.delete(THING, accept_loss=True).wait(PATIENCE).state is State.ROLLED_BACK
    assert rig.texts() == ["one", "two", "three"]


def test_create_refuses_where_other_content_stands(rig: Rig) -> None:
    rig.nodes[1].plant(PATH, "theirs")
    result = rig.client.create(THING, text="ours").wait(PATIENCE)
    assert result.reason == "node2 refused (it is there with other content: set it)"
    assert rig.texts() == [None, "theirs", None]


@pytest.mark.parametrize(
    ("thing", "fields", "why"),
    [
        ("notice/A", {"text": "x"}, "does not match"),
        ("notice/a", {}, "needs text"),
        ("notice/a", {"text": 5}, "text"),
        ("notice/a", {"text": "x", "colour": "red"}, 'no field "colour"'),
        ("nothing/a", {"text": "x"}, 'kind "nothing" is not known'),
        ("team-a", {"text": "x"}, "names no kind"),
    ],
)
def test_what_the_kind_does_not_allow_is_refused_before_anything_is_recorded(
    rig: Rig, thing: str, fields: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        rig.client.create(thing, fields=fields)
    # Workers may still look at what an earlier test left.
    assert not [each for node in rig.nodes for each in node.asked if PATH not in each]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("--set=tags=a --set=tags=b", '--set "tags" is given twice: write a list as tags=a,b'),
        ("-f {folder}/nothing", "cannot be read: No such file or directory"),
        ("-f {folder}/latin", "is no UTF-8 text: invalid start byte"),
        ("--secret text=@{folder}/text", "notice: text is shown to people: give it with --set, openly"),
    ],
)
def test_what_a_command_line_gives_and_cannot_mean_is_refused(
    rig: Rig, tmp_path: Path, given: str, why: str
) -> None:
    (tmp_path / "latin").write_bytes("text: grün".encode("latin-1"))
    (tmp_path / "text").write_text("x")
    refused = rig.cli("create", THING, *given.format(folder=tmp_path).split())
    assert (refused.returncode, refused.stderr.rstrip().endswith(why)) == (2, True), refused.stderr


def test_a_host_that_does_not_serve_the_kind_is_refused(rig: Rig) -> None:
    with pytest.raises(InvalidInput, match='host "other" does not serve notice'):
        rig.client.create(THING, ["other"], text="x")


def test_a_plan_shows_the_fields_that_would_change_and_what_an_undo_would_lose(rig: Rig) -> None:
    rig.nodes[0].plant(PATH, "one")
    rig.nodes[1].plant(PATH, "new")
    planned = rig.cli("plan", "set", THING, "--set", "text=new", "--create")
    assert planned.stdout.splitlines() == [
        "node1: update",
        '    - text: "one"',
        '    + text: "new"',
        "node2: nothing",
        "node3: create",
        "    + made",
        '    + text: "new"',
        "    + tags: []",
        "",
        "the hosts differ now: node2 would be left alone, by a rollback too",
        "would set notice/team%2Fa on 2 of 3 hosts",
    ]
    assert planned.returncode == 0
    deleting = rig.cli("plan", "delete", THING)
    assert "an undo would not bring back its readers: needs --accept-loss" in deleting.stdout
    assert rig.cli("plan", "create", THING, "--set", "text=x").returncode == 1
    assert {method for node in rig.nodes for method in (each.split()[0] for each in node.asked)} == {"GET"}


def test_the_first_wave_of_a_thing_is_compared_with_what_is_asked_while_it_is_held(rig: Rig) -> None:
    assert rig.client.create(THING, text="hello").wait(PATIENCE).committed
    held = rig.client.set(THING, text="new", pace=Pace("1,100%", hold=True))
    eventually(lambda: (standing := held.status().rollout) and standing.stage is Stage.WAITING, "it is held")
    assert rig.cli("drift", THING).returncode == 0
    rig.nodes[0].holds[PATH]["text"] = "changed"
    drifted = rig.cli("drift", THING)
    assert drifted.returncode == 1
    assert drifted.stdout.splitlines()[:3] == [
        f"{THING} on node1, left otherwise by operation {held.id}:",
        '    - text: "new"',
        '    + text: "changed"',
    ]
    assert f"`lockstep cancel {held.id}` brings its hosts back" in drifted.stdout
    rig.nodes[0].holds[PATH]["text"] = "new"
    held.cancel("enough")
    assert held.wait_end(PATIENCE).state is State.ROLLED_BACK


def test_drift_is_shown_field_by_field_and_repaired(rig: Rig) -> None:
    assert rig.client.create(THING, text="hello").wait(PATIENCE).committed
    assert rig.cli("drift", THING).returncode == 0
    for node in rig.nodes[:2]:
        node.holds[PATH]["text"] = "changed"
    rig.nodes[2].holds.clear()
    drifted = rig.cli("drift", THING)
    assert drifted.returncode == 1
    assert drifted.stdout.startswith(f"{THING} on node1, node2, left otherwise by operation ")
    told = [line for line in drifted.stdout.splitlines() if line.startswith("    ")]
    assert told == [
        '    - text: "hello"',
        '    + text: "changed"',
        "    - gone",
        '    - text: "hello"',
        "    - tags: []",
    ]
    repaired = rig.cli("repair", THING)
    assert repaired.returncode == 0, repaired
    assert rig.texts() == ["hello"] * 3
    assert rig.cli("drift", THING).returncode == 0
    assert rig.client.create("pin/left").wait(PATIENCE).committed
    file = rig.directory / "kinds" / "notice.yaml"
    source = file.read_text()
    file.unlink()
    title = Kind("notice.yaml", source).title
    without, kept = rig.cli("drift"), rig.cli("kinds", "show", title)
    file.with_name("notice.yaml").write_text(source)
    assert (without.returncode, kept.stdout.strip()) == (4, source.strip()), (without, kept)
    remedy = f"put its file back: `lockstep kinds show {title}` prints what is kept of it"
    assert f'{THING}: kind "notice" is not known; {remedy}\n' in without.stderr
    assert without.stdout.startswith("no drift in "), "of what is known"


def test_what_is_gone_with_its_secret_is_made_anew_with_it_and_not_repaired(rig: Rig) -> None:
    member, secret = "member/ann", {"password": "open-sesame"}
    assert rig.client.create(member, secrets=secret).wait(PATIENCE).committed
    rig.nodes[0].holds.clear()
    drifted, repaired = rig.cli("drift", member), rig.cli("repair", member)
    remedy = (
        "`lockstep set member/ann --create --secret password=@FILE` makes it anew: nothing keeps its secrets"
    )
    assert drifted.stdout.splitlines()[-1] == remedy
    assert (repaired.returncode, "is gone on node1, and nothing keeps its password" in repaired.stderr) == (
        2,
        True,
    )
    assert rig.client.set(member, create=True, secrets=secret).wait(PATIENCE).committed
    assert rig.cli("drift", member).returncode == 0
    assert rig.client.delete(member).wait(PATIENCE).committed
