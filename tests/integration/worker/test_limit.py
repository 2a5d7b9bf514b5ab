"""A limit that all workers share, by the node's own history: workers are killed, operations are cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lockstep.mock_api.history import Record as Entry
from lockstep.worker.celery.messages import publish
from lockstep.worker.connection import client
from lockstep.worker.inventory import load_inventory
from lockstep.worker.operation.host import WriteLimit
from lockstep.worker.operation.model import Action, GroupId, HostName, OperationId, State, Status
from lockstep.worker.operation.transitions import Accepted, Claim, Phase, Request
from lockstep.worker.record.keys import Keys
from lockstep.worker.record.queries import WriteLimits
from tests.integration.worker.harness import Bench
from tests.waits import eventually

NODE = HostName("node1")
OTHER = HostName("node2")
RATE = 20
UNDONE = 15
"""Operations that are rolled back, for their other node refuses in the end."""
LONG = 120.0


def limit(bench: Bench, text: str) -> None:
    """Have this bench's inventory hold two nodes, and the first a limit."""
    file, urls = Path(bench.settings.inventory), bench.cluster.nodes
    limited = f"hosts:\n  - name: {NODE}\n    url: {urls[NODE]}\n    {text}\n"
    file.write_text(f"{limited}  - name: {OTHER}\n    url: {urls[OTHER]}\n")
    bench.inventory = load_inventory(bench.settings)


def known(bench: Bench) -> bool:
    """Whether a worker has told the others of the limit."""
    return bool(client(bench.settings).hexists(bench.settings.key_prefix + "limits", NODE))


def begin(bench: Bench, number: int, hosts: Sequence[HostName]) -> OperationId:
    """Begin an operation on a group of its own."""
    group = GroupId(f"{bench.group}-{number}")
    operation = OperationId(f"{group}-op")
    refs = tuple(host.ref for host in bench.inventory.select(hosts))
    about = (operation, group, Action.CREATE, refs, 120_000, "test", None)
    assert bench.store.accept(Request(*about)) is Accepted.ACCEPTED
    publish(bench.app, operation, Claim(Phase.FORWARD, group, Action.CREATE, tuple(hosts)))
    return operation


def writes(bench: Bench) -> list[Entry]:
    """Every write that came to the node, by its arrival."""
    entries = bench.admin.history(node=NODE)
    return [entry for entry in entries if entry.method != "GET" and entry.actor != "admin"]


def most_at_once(entries: Sequence[Entry]) -> int:
    """How many of these the node worked on at the same moment."""
    moments = [(e.arrived, 1) for e in entries] + [(e.ended_at or e.arrived, -1) for e in entries]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def most_in_a_second(entries: Sequence[Entry]) -> int:
    """How many of these came to the node within a second."""
    return max(sum(0 <= other.arrived - each.arrived < 1 for other in entries) for each in entries)


def behind(history: Sequence[Entry], operations: Iterable[Status]) -> list[int]:
    """For each undo, how many forward writes came to the node between the look that put it in line and it.

    How soon after the decision its task is taken is not a matter of the line.
    """
    found = []
    for operation in operations:
        decided, own = (operation.decided_at or 0) / 1000, [e for e in history if e.group == operation.group]
        for undo in (e for e in own if e.method == "DELETE"):
            looked = min(e.arrived for e in own if e.method == "GET" and decided < e.arrived)
            found.append(sum(e.method == "POST" and looked < e.arrived < undo.arrived for e in history))
    return found


def test_200_operations_of_four_workers_write_four_at_a_time_though_two_are_killed(bench: Bench) -> None:
    limit(bench, "max_writes_at_once: 4")
    bench.admin.set_latency(20, node=NODE)
    bench.admin.set_faults({"kind": "error_before", "methods": ["POST"]}, node=OTHER)
    bench.beat()
    workers = [bench.worker(f"w{number}", wait=False) for number in range(4)]
    eventually(lambda: known(bench), "the limit is known")
    undone = [begin(bench, number, [NODE, OTHER]) for number in range(UNDONE)]
    plain = [begin(bench, number, [NODE]) for number in range(UNDONE, 200)]
    eventually(lambda: len(writes(bench)) > 20, "they are at it")
    for worker in workers[:2]:
        worker.kill()
    # Only now is anything decided: an undo that a killed worker holds comes with the sweep, and rightly late.
    bench.admin.set_faults({"kind": "refuse"}, node=OTHER)
    ended = {each: bench.end(each, LONG).operation for each in (*undone, *plain)}
    assert {each: ended[each].state for each in undone} == dict.fromkeys(undone, State.ROLLED_BACK)
    assert {each: ended[each].state for each in plain} == dict.fromkeys(plain, State.COMMITTED)
    entries = writes(bench)
    assert 2 <= most_at_once(entries) <= 4
    history = bench.admin.history(node=NODE)
    looks = [entry for entry in history if entry.method == "GET"]
    assert len(looks) < 4 * 200, "one before it waits, one at its turn, and of some another"
    # What was called before may go on; of what stands in line, some 150, nothing.
    assert max(behind(history, ended.values())) < 20

    WriteLimits(client(bench.settings), Keys(bench.settings.key_prefix)).keep({NODE: WriteLimit(None, RATE)})
    for operation in [begin(bench, number, [NODE]) for number in range(200, 230)]:
        bench.end(operation, LONG)
    paced = writes(bench)[len(entries) :]
    assert len(paced) == 30
    assert most_in_a_second(paced) <= RATE * (1 + bench.settings.send_within) + 1


def test_the_place_of_a_worker_that_was_killed_is_over_once_its_write_has_landed(bench: Bench) -> None:
    limit(bench, "max_writes_at_once: 1")
    bench.admin.add_faults({"kind": "delayed", "seconds": 2.0, "times": 1}, node=NODE)
    bench.beat()
    WriteLimits(client(bench.settings), Keys(bench.settings.key_prefix)).keep({NODE: WriteLimit(1, None)})
    held, mark = bench.held_worker("after POST sent")
    both = [begin(bench, 0, [NODE])]
    eventually(mark.exists, "its write has left")
    held.kill()
    bench.worker("next")
    both.append(begin(bench, 1, [NODE]))
    assert [bench.end(each).operation.state for each in both] == [State.COMMITTED] * 2
    first, second = writes(bench)
    assert second.arrived - first.arrived > 2.0, "by then it has landed"
