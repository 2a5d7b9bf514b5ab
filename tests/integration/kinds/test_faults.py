"""Things with content on unstable nodes, by a worker that is killed; judged by what the nodes hold."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from lockstep.mock_api.admin import ClusterAdmin, Json
from lockstep.producer.client.operation import Operation
from lockstep.worker.operation.content import canonical
from lockstep.worker.operation.model import State
from tests.chaos.journal import commands
from tests.integration.kinds.node import NAMES, Rig
from tests.integration.mock_process import cluster
from tests.model.trace import replay
from tests.waits import eventually

Content = dict[str, object]
WORDS = ("one", "two", "three")
KIND = """\
kind: memo
fields:
  text: {type: string, required: true, rewritten: true}
  tags: {type: set, default: []}
look: GET /memos/{id}
create: {request: "PUT /memos/{id}", applied: 201, replaced: 204}
update: {request: "PUT /memos/{id}", applied: 204, replaced: 201}
delete: DELETE /memos/{id}
"""
RECORDS = (["192.0.2.1"], ["192.0.2.1", "192.0.2.2"], ["192.0.2.3"])
CASES: dict[str, tuple[list[str], list[Content]]] = {
    "memo": ([f"memo/{each}" for each in "abcd"], [{"text": each, "tags": [each[0]]} for each in WORDS]),
    "powerdns-record": (
        [f"powerdns-record/{each}.example./www.{each}.example./A" for each in "abcd"],
        [{"ttl": 60 + len(each), "records": each} for each in RECORDS],
    ),
}
"""Things of each kind, and contents of theirs; a shipped kind of quite another shape is one."""
EACH = 8
WAIT = 90.0
SHARES = {
    "error_after": 0.08,
    "reset_after": 0.08,
    "error_before": 0.06,
    "hang_after": 0.02,
    "delayed": 0.04,
    "ignore": 0.06,
    "refuse": 0.03,
}
"""Of writes; each strikes at least once."""


@pytest.fixture(params=list(CASES))
def unstable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Rig, ClusterAdmin, str]]:
    (tmp_path / "memo.yaml").write_text(KIND)
    kind = str(tmp_path / "memo.yaml") if request.param == "memo" else request.param
    with ExitStack() as stack:
        given = ("--nodes", "3", "--port", "0", "--kind", kind, "--seed", "2612")
        running = stack.enter_context(cluster(*given))
        for place, name in enumerate(NAMES):
            running.admin.set_faults(*rules(rewrites=place == 1), node=name)
        yield (
            Rig(stack, tmp_path, [node.url for node in running.nodes.values()], KIND),
            running.admin,
            request.param,
        )
        trace = replay(commands(tmp_path / "redis"))
    assert trace.wrong == []
    assert trace.things > 100


def rules(rewrites: bool) -> Iterator[dict[str, Json]]:
    for place, (kind, share) in enumerate({**SHARES, **({"rewrite": 0.3} if rewrites else {})}.items()):
        rule: dict[str, Json] = {"kind": kind, "methods": ["POST", "DELETE"]}
        if kind == "delayed":
            rule["seconds"] = 0.3
        yield {**rule, "times": 1, "after": 2 * place}
        yield {**rule, "probability": share}


def held(admin: ClusterAdmin, thing: str) -> list[str]:
    """What each node holds, in lower case: a node that rewrites may show another."""
    found = (admin.groups(name).get(thing) for name in NAMES)
    return [canonical(kept["fields"]).lower() if kept else "" for kept in found]


def over(operation: Operation) -> bool:
    return operation.status().ended


def test_all_hosts_have_the_content_or_each_its_own(unstable: tuple[Rig, ClusterAdmin, str]) -> None:
    rig, admin, kind = unstable
    things, contents = CASES[kind]
    ended: Counter[State] = Counter()

    def change(thing: str) -> None:
        dice, after = random.Random(thing), held(admin, thing)
        for _ in range(EACH):
            before, content = held(admin, thing), dice.choice(contents)
            assert before == after, "nothing lands once an operation has ended"
            verb = dice.choice(("create", "set", "set", "delete"))
            given = {} if verb == "delete" else content
            operation = rig.client.change(verb, thing, None, given, upsert=verb == "set")
            eventually(partial(over, operation), f"{operation.id} ends", WAIT, latest=0.2)
            state = operation.status().state
            target = canonical(given) if given else ""
            after = held(admin, thing)
            assert after == ([target] * 3 if state is State.COMMITTED else before), (state, verb, before)
            ended[state] += 1

    with ThreadPoolExecutor(len(things)) as threads:
        changing = [threads.submit(change, thing) for thing in things]
        eventually(lambda: ended.total() >= EACH, "some have ended", WAIT, latest=0.2)
        rig.worker.kill()
        rig.new_worker()
        for each in changing:
            each.result()
    assert ended[State.COMMITTED] >= EACH
    assert ended[State.ROLLED_BACK] >= EACH // 2
    assert ended.total() == EACH * len(things)
    struck = Counter(entry.fault for entry in admin.history())
    assert not {*SHARES, "rewrite"} - struck.keys(), "every fault has struck"
