"""A file of things of several kinds and groups is applied as a whole, or not begun."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lockstep import ClusterClient, Pace
from lockstep.worker.operation.errors import InvalidInput
from lockstep.worker.settings import Settings
from tests.integration.kinds.node import PATH, THING, Rig
from tests.waits import PATIENCE, eventually

WANTED = """\
present:
- team-b
- notice/team%2Fa: {text: hello, tags: [b, a]}
- pin/team-a: {}
absent:
- notice/old
"""


def test_apply_plans_things_of_several_kinds_and_groups_and_then_does_them_in_order(
    rig: Rig, tmp_path: Path
) -> None:
    file = tmp_path / "wanted.yaml"
    file.write_text(WANTED)
    for node in rig.nodes:
        node.plant("/notices/old", "x")
    rig.nodes[1].plant(PATH, "own")
    refused = rig.cli("apply", str(file))
    assert (refused.returncode, "would not bring back its readers" in refused.stderr) == (2, True), refused
    assert rig.cli("apply", str(file), "--plan").returncode == 0
    assert {each.split()[0] for node in rig.nodes for each in node.asked} == {"GET"}, "nothing is written"
    applied = rig.cli("apply", str(file), "--accept-loss", "--resume", "mine")
    assert applied.returncode == 0, applied
    assert applied.stdout == "run mine: 4 committed\n"
    shown = [line.strip() for line in applied.stderr.splitlines()]
    assert shown[:8] == [
        "set notice/team%2Fa",
        "node1, node3: create",
        "+ made",
        '+ text: "hello"',
        '+ tags: ["a","b"]',
        "node2: update",
        '- text: "own"',
        '+ text: "hello"',
    ]
    assert rig.texts() == ["hello"] * 3
    for node in rig.nodes:
        assert sorted(node.holds) == ["/notices/team%2Fa", "/pins/team-a", "/v1/group/team-b/"]
        writes = [each.split()[1] for each in node.asked if each.split()[0] != "GET"]
        assert writes == ["/v1/group/", PATH, "/pins/team-a", "/notices/old"]
    document = {"present": [{THING: {"text": "again"}}, {"pin/team-a": None}]}
    again = list(rig.client.apply(document, run="other"))
    assert [(each.wish.verb, each.state) for each in again] == [("set", "committed"), ("create", "committed")]
    assert rig.texts() == ["again"] * 3
    rig.nodes[2].refuses = True
    (failed,) = rig.client.apply({"absent": [THING]}, accept_loss=True)
    assert (failed.state, rig.texts()) == ("rolled_back", ["again"] * 3)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"present": [{THING: {"text": "a"}}, {THING: {"text": "b"}}]}, "stands twice, with other fields"),
        ({"absent": [{THING: {"text": "a"}}]}, "is to be deleted, and needs none"),
        ({"present": [{THING: ["a"]}]}, "it needs a mapping of fields"),
        ({"present": [{"team-a": {"text": "a"}}]}, "names no kind"),
        ({"present": ["team-b", {THING: {"text": 5}}]}, "text"),
        ({"present": ["team-b", "nothing/a"]}, 'kind "nothing" is not known'),
        ({"present": [{THING: {"text": "a"}}], "absent": ["notice/team%2fa"]}, "both present and absent"),
    ],
)
def test_what_is_wrong_anywhere_in_what_is_to_be_applied_writes_nothing(
    rig: Rig, document: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        rig.client.apply(document)
    assert all(each.startswith("GET") for node in rig.nodes for each in node.asked)


def test_a_host_that_no_operation_on_a_thing_covered_is_named_if_it_serves_its_kind(
    rig: Rig, tmp_path: Path
) -> None:
    some, new = ["node1", "node2"], ["notice/new", "pin/new"]
    assert rig.client.create("pin/everywhere").wait(PATIENCE).committed
    assert rig.client.create("notice/new", some, text="hello").wait(PATIENCE).committed
    assert rig.client.create("pin/new", some).wait(PATIENCE).committed
    drifted = rig.cli("drift", *new)
    assert (drifted.returncode, drifted.stdout.startswith("no drift in 2 things")) == (0, True), drifted
    assert drifted.stderr == (
        "node3 was never covered by an operation on notice/new, pin/new: "
        "`lockstep apply FILE --hosts node3`, with it under `present`, brings it there\n"
    )
    document = json.loads(rig.cli("drift", "notice/new", "--json").stdout)
    assert document["uncovered"] == [{"group": "notice/new", "host": "node3"}]
    inventory = Path(rig.values["inventory"])
    less = inventory.with_name("less.yaml")
    less.write_text(inventory.read_text().replace("{name: node3,", "{name: node3, serves: [pin],"))
    with ClusterClient(Settings(**{**rig.values, "inventory": str(less)})) as client:
        assert [each.uncovered for each in client.drift(new)] == [(), ("node3",)]
        (told,) = (each.text for each in client.examine() if "covered" in each.text)
    assert re.fullmatch("node3: no operation on 1 of [0-9] pins covered it: it lacks what others hold", told)

    file = tmp_path / "wanted.yaml"
    file.write_text("present:\n- notice/new: {text: hello}\n- pin/new: {}\n")
    assert rig.cli("apply", str(file), "--hosts", "node3").returncode == 0
    assert rig.cli("drift", *new).stderr == ""


def test_a_thing_that_is_nowhere_is_no_new_hosts_business(rig: Rig) -> None:
    some = ["node1", "node2"]
    assert rig.client.create("pin/gone", some).wait(PATIENCE).committed
    assert [each.uncovered for each in rig.client.drift(["pin/gone"])] == [("node3",)]
    with_waves = rig.client.delete("pin/gone", some, pace=Pace("1,100%", hold=True))
    eventually(lambda: with_waves.steps()[0].outcome, "its first wave is done")
    assert [each.uncovered for each in rig.client.drift(["pin/gone"])] == [()], "an operation is at work"
    with_waves.cancel("enough")
    assert with_waves.wait_end(PATIENCE).state == "rolled_back"
    assert rig.client.delete("pin/gone", some).wait(PATIENCE).committed
    assert [each.uncovered for each in rig.client.drift(["pin/gone"])] == [()]


def test_a_host_that_does_not_serve_groups_or_a_kind_is_never_asked_about_them(rig: Rig) -> None:
    assert "other" not in [host.host for host in rig.client.create_group("team-z").wait(PATIENCE).hosts]
    assert [each.uncovered for each in rig.client.drift(["team-z"])] == [()]
    assert [each.silent for each in rig.client.drift(["team-none"])] == [()]
    for command in ("exists other team-z", f"exists other {THING}", "sync other", "probe other"):
        refused = rig.cli(*command.split())
        assert refused.returncode == 2, refused
        assert 'host "other" does not serve' in refused.stderr
