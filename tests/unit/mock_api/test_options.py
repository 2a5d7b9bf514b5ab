"""The command line: what it means, and one line about what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockstep.mock_api.faults import FaultKind, InputError
from lockstep.mock_api.node import Manners
from lockstep.mock_api.options import read


def test_nodes_take_ports_in_a_row_and_the_admin_the_next() -> None:
    spec = read(["--nodes", "3", "--port", "7001"])
    assert spec.ports == {"node1": 7001, "node2": 7002, "node3": 7003}
    assert spec.admin_port == 7004


def test_five_nodes_from_5001_are_the_default() -> None:
    assert list(read([]).ports.values()) == [5001, 5002, 5003, 5004, 5005]


def test_ports_can_be_listed_or_left_to_chance() -> None:
    assert read(["--ports", "7001,7005"]).ports == {"node1": 7001, "node2": 7005}
    free = read(["--nodes", "2", "--port", "0"])
    assert (list(free.ports.values()), free.admin_port) == ([0, 0], 0)


def test_one_node_can_be_served_alone() -> None:
    spec = read(["--node", "node3", "--port", "7003", "--state", "file", "--admin-port", "7100"])
    assert (spec.ports, spec.admin_port, spec.state) == ({"node3": 7003}, 7100, Path("file"))


def test_manners_are_given_for_all() -> None:
    spec = read(["--delete-absent", "400", "--post-body", "empty"])
    assert spec.manners == Manners(delete_absent=400, post_body="empty")


def test_faults_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"kind": "refuse", "node": "node2"}, {"kind": "latency", "latency": 5}]))
    assert [rule.kind for rule in read(["--faults", str(path)]).rules] == [
        FaultKind.REFUSE,
        FaultKind.LATENCY,
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--nodes 0", "--nodes 0 is outside 1 to 2000"),
        ("--nodes many", "invalid int value: 'many'"),
        ("--port 65533", "node4 leads to port 65536, outside 1 to 65535; choose a lower one, or 0"),
        ("--admin-port 70000", "--admin-port leads to port 70000"),
        ("--ports 7001,-1", "node2 leads to port -1"),
        ("--ports 1,two", '--ports "1,two" is not a list of numbers'),
        ("--ports 7001,7001", "name one twice"),
        ("--ports 7001 --port 1", "both name ports"),
        ("--nodes 2 --node a", "not allowed with"),
        ("--state file", "add --node NAME"),
        ("--faults /nowhere/at/all", "cannot be read"),
        ("--delete-absent 410", "choose from"),
        ("--frobnicate", "unrecognized arguments: --frobnicate"),
    ],
)
def test_a_wrong_command_line_is_explained_in_one_line(arguments: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(arguments.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("{}", "must be a JSON list of rules"),
        ('[{"kind": "refuse"}, {"kind": "refuse", "times": 0}]', "rule 2: times is 0"),
        ('[{"kind": "refuse", "node": "node9"}]', 'node "node9" is not in the cluster; known: node1'),
        ("[3]", "rule 1: the value is 3"),
    ],
)
def test_a_wrong_faults_file_is_explained_by_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read(["--faults", str(path)])
    assert said in str(caught.value)
