"""The command line and the faults file, read into a `Spec`; what is wrong with them, in one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from lockstep.mock_api.cluster import Spec
from lockstep.mock_api.faults import InputError, Rule, explain
from lockstep.mock_api.node import Manners
from lockstep.mock_api.play import Player
from lockstep.worker.kinds import kinds_of
from lockstep.worker.kinds.kind import Kind
from lockstep.worker.operation.errors import InvalidInput

MOST_NODES = 2000


class Parser(argparse.ArgumentParser):
    """Argparse that raises instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def parser() -> Parser:
    made = Parser(
        prog="python -m lockstep.mock_api",
        description="Serve a cluster of unstable nodes.",
        allow_abbrev=False,
    )
    add, either = made.add_argument, made.add_mutually_exclusive_group().add_argument
    either("--nodes", type=int, metavar="N", help="how many nodes, node1 to nodeN (default 5)")
    either("--ports", metavar="P,P,...", help="one node per port; 0 picks a free one")
    either("--node", metavar="NAME", help="serve this one node, to be stopped or killed on its own")
    add("--port", type=int, metavar="P", help="port of the first node (default 5001), 0 for free ones")
    add("--admin-port", type=int, metavar="P", help="default: after the last node, or a free one")
    add("--host", default="127.0.0.1", help="address to serve on (default %(default)s)")
    add("--seed", type=int, default=0, help="of the faults and latencies (default %(default)s)")
    add("--faults", type=Path, metavar="FILE", help="JSON list of fault rules to start with")
    add("--history", type=Path, metavar="FILE", help="append what happens as JSON lines")
    add("--state", type=Path, metavar="FILE", help="with --node: keep its groups across kill -9")
    add("--delete-absent", type=int, choices=(400, 404), default=404, help="default %(default)s")
    add("--post-body", choices=("empty", "group"), default="group", help="of a 201; default %(default)s")
    add("--kind", metavar="FILE", help="play a kind beside groups: a file or a shipped name")
    return made


def read(arguments: Sequence[str] | None = None) -> Spec:
    """Read the command line. Raises InputError."""
    given = parser().parse_args(arguments)
    if given.state and not given.node:
        raise InputError(f'--state "{given.state}" is for one node; add --node NAME, or leave it out')
    if given.ports is not None and given.port is not None:
        raise InputError(f'--port {given.port} and --ports "{given.ports}" both name ports; give one of them')
    ports = node_ports(given)
    last = max(ports.values())
    admin = (last + 1 if last else 0) if given.admin_port is None else given.admin_port
    for name, port in {**ports, "--admin-port": admin}.items():
        if not 0 <= port <= 65535:
            rule = "outside 1 to 65535; choose a lower one, or 0 for a free one"
            raise InputError(f"{name} leads to port {port}, {rule}")
    taken = [port for port in (*ports.values(), admin) if port]
    if len(taken) != len(set(taken)):
        raise InputError(f"ports {taken} name one twice; every node and the admin need their own")
    rules = read_rules(given.faults, list(ports)) if given.faults else ()
    manners = Manners(delete_absent=given.delete_absent, post_body=given.post_body)
    kind = read_kind(given.kind) if given.kind else None
    return Spec(ports, admin, given.host, given.seed, manners, given.history, given.state, rules, kind)


def read_kind(given: str) -> Kind:
    """Return a kind by its file or its shipped name. Raises InputError."""
    try:
        is_file = given.endswith(".yaml")
        kind = Kind(given, Path(given).read_text("utf-8")) if is_file else kinds_of().find(given)
    except (OSError, InvalidInput) as error:
        raise InputError(f'--kind "{given}": {error}') from None
    Player(kind)
    return kind


def node_ports(given: argparse.Namespace) -> dict[str, int]:
    """Name the nodes and their ports; 0 is any free port."""
    if given.ports is not None:
        try:
            numbers = [int(port) for port in given.ports.split(",")]
        except ValueError:
            raise InputError(f'--ports "{given.ports}" is not a list of numbers such as 5001,5002') from None
    else:
        count = 1 if given.node else 5 if given.nodes is None else given.nodes
        first = 5001 if given.port is None else given.port
        if not 1 <= count <= MOST_NODES:
            raise InputError(f"--nodes {count} is outside 1 to {MOST_NODES}; choose a number in between")
        numbers = [first + index if first else 0 for index in range(count)]
    names = [given.node] if given.node else [f"node{index}" for index in range(1, len(numbers) + 1)]
    return dict(zip(names, numbers, strict=True))


def read_rules(path: Path, nodes: Sequence[str]) -> tuple[Rule, ...]:
    """Read a faults file: a JSON list of rules. Raises InputError, naming the rule by its place."""
    try:
        given = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f'--faults "{path}" cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise InputError(f'--faults "{path}" is not JSON: {error}') from None
    if not isinstance(given, list):
        raise InputError(
            f'--faults "{path}" must be a JSON list of rules, such as [{{"kind": "error_before"}}]'
        )
    rules: list[Rule] = []
    for place, one in enumerate(given, start=1):
        where = f'--faults "{path}": rule {place}: '
        try:
            rule = Rule.model_validate(one)
        except ValidationError as error:
            raise InputError(where + explain(error.errors()[0])) from None
        if rule.node is not None and rule.node not in nodes:
            raise InputError(f'{where}node "{rule.node}" is not in the cluster; known: {", ".join(nodes)}')
        rules.append(rule)
    return tuple(rules)
