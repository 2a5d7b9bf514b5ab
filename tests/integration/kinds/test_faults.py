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
from lockstep.worker.operation.model import State
from tests.integration.kinds.node import NAMES, Rig
from tests.integration.mock_process import cluster
from tests.waiting import eventually

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
THINGS, EACH = ("memo/a", "memo/b", "memo/c", "memo/d"), 8
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
Shown = tuple[str, tuple[str, ...]] | None


@pytest.fixture
def unstable(tmp_path: Path) -> Iterator[tuple[Rig, ClusterAdmin]]:
    (tmp_path / "memo.yaml").write_text(KIND)
    with ExitStack() as stack:
        given = ("--nodes", "3", "--port", "0", "--kind", str(tmp_path / "memo.yaml"), "--seed", "2612")
        running = stack.enter_context(cluster(*given))
        for place, name in enumerate(NAMES):
            running.admin.set_faults(*rules(rewrites=place == 1), node=name)
        yield Rig(stack, tmp_path, [node.url for node in running.nodes.values()], KIND), running.admin


def rules(rewrites: bool) -> Iterator[dict[str, Json]]:
    for place, (kind, share) in enumerate({**SHARES, **({"rewrite": 0.3} if rewrites else {})}.items()):
        rule: dict[str, Json] = {"kind": kind, "methods": ["POST", "DELETE"]}
        if kind == "delayed":
            rule["seconds"] = 0.3
        yield {**rule, "times": 1, "after": 2 * place}
        yield {**rule, "probability": share}


def held(admin: ClusterAdmin, thing: str) -> list[Shown]:
    """What each node holds; a node that rewrites may show another case."""
    found: list[Shown] = []
    for name in NAMES:
        kept = admin.groups(name).get(thing)
        fields = kept["fields"] if kept else None
        assert fields is None or isinstance(fields, dict)
        found.append(fields and (str(fields["text"]).lower(), tuple(fields["tags"])))  # type: ignore[arg-type]
    return found


def over(operation: Operation) -> bool:
    return operation.status().ended


def test_all_hosts_have_the_content_or_each_its_own(unstable: tuple[Rig, ClusterAdmin]) -> None:
    rig, admin = unstable
    ended: Counter[State] = Counter()

    def change(thing: str) -> None:
        dice, after = random.Random(thing), held(admin, thing)
        for _ in range(EACH):
            before, text = held(admin, thing), dice.choice(("one", "two", "three"))
            assert before == after, "nothing lands once an operation has ended"
            verb = dice.choice(("create", "set", "set", "delete"))
            given = {} if verb == "delete" else {"text": text, "tags": [text[0]]}
            operation = rig.client.change(verb, thing, None, given, upsert=verb == "set")
            eventually(partial(over, operation), f"{operation.id} ends", WAIT, latest=0.2)
            state = operation.status().state
            target: Shown = (text, (text[0],)) if given else None
            after = held(admin, thing)
            assert after == ([target] * 3 if state is State.COMMITTED else before), (state, verb, before)
            ended[state] += 1

    with ThreadPoolExecutor(len(THINGS)) as threads:
        changing = [threads.submit(change, thing) for thing in THINGS]
        eventually(lambda: ended.total() >= EACH, "some have ended", WAIT, latest=0.2)
        rig.worker.kill()
        rig.new_worker()
        for each in changing:
            each.result()
    assert ended[State.COMMITTED] >= EACH
    assert ended[State.ROLLED_BACK] >= EACH // 2
    assert ended.total() == EACH * len(THINGS)
    struck = Counter(entry.fault for entry in admin.history())
    assert not {*SHARES, "rewrite"} - struck.keys(), "every fault has struck"
