"""What the demo does to its nodes, act by act, and every word of it."""

from __future__ import annotations

import io
import os
import runpy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lockstep.producer import process
from lockstep.producer.demo import play
from lockstep.producer.process import Stopped
from lockstep.worker.operation.model import Decision, HostName, Millis, Presence, Seen, State, Step
from tests.unit.producer.samples import OPERATION, attempt

NODES = ("node1", "node2", "node3", "node4", "node5")
ENDED = replace(
    OPERATION,
    state=State.ROLLED_BACK,
    decision=Decision.ROLL_BACK,
    decided_at=Millis(OPERATION.created_at + 1_000),
    ended=True,
    ended_at=Millis(OPERATION.created_at + 2_000),
)
WROTE = Step(
    HostName("node1"), attempts=(replace(attempt("a1"), opened_at=Millis(OPERATION.created_at + 10)),)
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the demo may empty."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def _short(given: Any) -> str:
    """Of a fault its kind, and how often it comes or what it is about."""
    if isinstance(given, dict) and "kind" in given:
        return f"{given['kind']}={given.get('probability', given.get('group'))}"
    return str(given)


class Told:
    """Notes whatever it is asked to do."""

    def __init__(self, told: list[str], name: str) -> None:
        self._told, self._name = told, name

    def __getattr__(self, verb: str) -> Any:
        def do(*given: object, **named: object) -> Any:
            words = [_short(each) for each in given] + [f"{name}={value}" for name, value in named.items()]
            self._told.append(f"{self._name} {' '.join([verb, *words])}")

        return do


class Nodes(Told):
    strays: tuple[str, ...] = ()

    def nodes(self) -> list[str]:
        return list(NODES)

    def history(self, group: str | None = None) -> list[Any]:
        if group is None:
            made = [("admin", None, 1), ("api", None, 1), ("api", "late", 1), *[("api", "early", None)] * 2]
            return [SimpleNamespace(actor=who, fault=fault, effect_at=at) for who, fault, at in made]
        calls = [("node1", "GET"), ("node1", "POST"), ("node2", "GET"), ("node1", "DELETE")]
        return [SimpleNamespace(node=node, method=method) for node, method in calls] + [
            SimpleNamespace(node=node, method="POST") for node in self.strays
        ]


class Client(Told):
    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def _operation(self, verb: str, group: str, **given: object) -> Any:
        self._told.append(" ".join([verb, group, *(f"{name}={value}" for name, value in given.items())]))
        return SimpleNamespace(name=f"{verb} {group}", status=lambda: ENDED, steps=lambda: [WROTE])

    def create_group(self, group: str, **given: object) -> Any:
        return self._operation("create", group, **given)

    def delete_group(self, group: str) -> Any:
        return self._operation("delete", group)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []

    def follow(_: play.Demo, operation: Any, promised: State, expected: Any, then: Any = None) -> None:
        bodies = sorted({str(body) for body in expected.values()})
        told.append(f"{promised} with {' or '.join(bodies)} on {len(expected)}")
        if then:
            then()

    monkeypatch.setattr(play.Demo, "_follow", follow)
    monkeypatch.setattr(play, "ClusterClient", lambda settings, created_by: Client(told, created_by))
    monkeypatch.setattr(play, "ClusterAdmin", lambda url: Nodes(told, "nodes"))
    return told


def stack(told: list[str]) -> Any:
    return SimpleNamespace(
        start=lambda: told.append("start"),
        stop=lambda: told.append("stop"),
        settings={},
        admin_url="http://a",
    )


def shown(told: list[str], code: int = 0) -> list[str]:
    out = io.StringIO()
    assert play.play(stack(told), Console(file=out, width=120)) == code
    return out.getvalue().split("\n")


WORDS = """\
Lockstep: all hosts or none.

Redis, two workers, beat and a cluster of five nodes start on this machine,
with shorter times than usual, for they are all near:

   LOCKSTEP_CONNECT_TIMEOUT=1
   LOCKSTEP_READ_TIMEOUT=1
   LOCKSTEP_CALL_TIMEOUT=2
   LOCKSTEP_SEND_WITHIN=1
   LOCKSTEP_SETTLE_SECONDS=2
   LOCKSTEP_PATIENCE=3

1. Create team-a on unstable nodes
   Each answers 500 to 3 calls in 10 and nothing at all to 1 in 10, half of them after doing as asked.

   3 of 4 calls failed; 1 of those were writes that took effect.

2. Create team-b, which node4 refuses for good
   node2 has one already, somebody else's: undoing must not take it away.

3. Delete team-a while node5 is down
   All nodes lose it or none does, so the others must get it back.

   node5 is up again; what it holds now is what it says itself.

4. Delete team-a again, now that node5 is up
5. Create team-c in waves, one node first
   node1 answers 503 at /health while it has team-c, which is seen before any other node is asked.

   0 ms    -       accepted   by alice@desk
   10 ms   node1   POST       -
   1 s     -       decided    roll back
   2 s     -       ended      rolled_back

   In the nodes' own histories: 2 writes, all of them to node1.

All five ended as promised, on every node.
That took 42 s, and nothing is left running.
Next: make up keeps such a cluster running for you to command.
"""
DEEDS = """\
start
nodes set_faults error_before=0.15 error_after=0.15 hang_before=0.05 hang_after=0.05
create team-a
committed with {'groupId': 'team-a'} on 5
nodes set_faults
nodes set_latency None
nodes plant node2 team-b {'groupId': 'team-b', 'owner': 'somebody else'}
nodes set_faults refuse=team-b node=node4
nodes set_latency 400 node4
create team-b
rolled_back with None or {'groupId': 'team-b', 'owner': 'somebody else'} on 5
nodes set_faults
nodes set_latency None
nodes down node5
delete team-a
rolled_back with {'groupId': 'team-a'} on 5
nodes up node5
delete team-a
committed with None on 5
nodes set_manners node1 unwell_with=team-c
create team-c waves=1,100% bake=1 health=/health
rolled_back with None on 5
stop
"""


def test_each_act_is_told_and_done(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((10.0, 52.4))
    monkeypatch.setattr(play, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert "\n".join(line.rstrip() for line in shown(told)) == WORDS
    assert "\n".join([*told, ""]) == DEEDS


def test_a_write_to_another_node_than_the_first_is_a_broken_promise(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Nodes, "strays", ("node3",))
    *_, broken, end = shown(told, 1)
    assert (broken, end) == ("Broken: create team-c wrote to node1, node3, not to node1 alone", "")
    assert told[-1] == "stop"


SHOWN = [
    "   create team-a  rolled_back in 2.0 s",
    "   because node4 refuses it",
    "",
    "   HOST   BEFORE   WHAT HAPPENED  WRITES  NOW",
    "   node1  -        changed        1       absent \u2713",
    "   node2  present  not changed    0       present, untouched \u2713",
    "   node3  present  not changed    0       present \u2713",
    "",
]


def test_an_operation_is_shown_with_why_it_ended_so_and_what_each_node_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    theirs = {"groupId": "team-a", "owner": "somebody else"}
    held: dict[str, Any] = {"node1": None, "node2": theirs, "node3": {"groupId": "team-a"}}
    nodes: Any = SimpleNamespace(groups=lambda node: {"team-a": held[node]} if held[node] else {})
    ends = replace(ENDED, reason="node4 refuses it")
    steps = [
        WROTE,
        *(Step(HostName(name), before=Seen(Presence.PRESENT, "{}")) for name in ("node2", "node3")),
    ]
    waited: list[float] = []
    done: list[str] = []
    operation: Any = SimpleNamespace(
        action="create", group="team-a", status=lambda: ends, steps=lambda: steps,
        watch_hosts=lambda: iter([(ends, steps, ends)]), wait_end=waited.append,
    )  # fmt: skip
    out = io.StringIO()
    demo = play.Demo(Console(file=out, width=120), SimpleNamespace(), nodes)  # type: ignore[arg-type]
    demo._follow(operation, State.ROLLED_BACK, {**held, "node1": None}, then=lambda: done.append("then"))
    assert (waited, done, demo.broken) == ([40.0], ["then"], [])
    assert [line.rstrip() for line in out.getvalue().splitlines()] == SHOWN


@pytest.mark.parametrize(
    ("state", "decided", "ended", "words"),
    [
        (State.COMMITTED, 1_500, 4_000, "committed in 1.5 s; lost writes settled after 4.0 s"),
        (State.COMMITTED, 1_500, 2_001, "committed in 1.5 s; lost writes settled after 2.0 s"),
        (State.COMMITTED, 1_500, 2_000, "committed in 1.5 s"),
        (State.COMMITTED, None, 2_000, "committed in 2.0 s"),
        (State.ROLLED_BACK, 1_500, 400_000, "rolled_back in 400.0 s"),
        (State.ROLLED_BACK, 1_500, None, "rolled_back in 0.0 s"),
        (State.COMMITTED, 0, 400_000, "committed in 0.0 s; lost writes settled after 400.0 s"),
        (State.COMMITTED, 400_000, 400_000, "committed in 400.0 s"),
    ],
)
def test_how_long_it_took_is_told_until_the_answer_and_until_the_end(
    state: State, decided: int | None, ended: int | None, words: str
) -> None:
    began = OPERATION.created_at
    at = [None if after is None else Millis(began + after) for after in (decided, ended)]
    assert play.verdict(replace(OPERATION, state=state, decided_at=at[0], ended_at=at[1])).plain == words


def test_the_demo_that_is_stopped_says_that_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCKSTEP_HOSTS", "http://elsewhere")
    seen: dict[str, str] = {}

    def stopped(stack: Any, _: object) -> int:
        seen.update({name: value for name, value in os.environ.items() if name.startswith("LOCKSTEP_")})
        raise Stopped(15)

    given: list[dict[str, Any]] = []
    monkeypatch.setattr(play, "Stack", lambda **options: given.append(options))
    monkeypatch.setattr(play, "play", stopped)
    assert play.main() == 143
    assert capsys.readouterr().err == "Stopped; nothing is left running.\n"
    assert seen == {}
    assert given[0]["env"] == {f"LOCKSTEP_{name.upper()}": value for name, value in play.SETTINGS.items()}


def test_the_module_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def begin(module: str) -> int:
        begun.append(module)
        return 7

    monkeypatch.setattr(process, "begin", begin)
    runpy.run_module("lockstep.producer.demo.__main__", run_name="another")
    assert begun == []
    with pytest.raises(SystemExit) as left:
        runpy.run_module("lockstep.producer.demo", run_name="__main__")
    assert (left.value.code, begun) == (7, ["lockstep.producer.demo.play"])
