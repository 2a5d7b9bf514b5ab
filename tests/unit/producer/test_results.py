"""When a caller is answered, and with what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.model import (
    Decision,
    HostName,
    Outcome,
    Presence,
    Seen,
    State,
    Status,
    Step,
    Undo,
)
from lockstep.worker.operation.story import answered, result_of
from tests.unit.producer.samples import OPERATION, attempt

N1, N2 = HostName("node1"), HostName("node2")
ROLLING = replace(OPERATION, state=State.ROLLING_BACK, decision=Decision.ROLL_BACK)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (OPERATION, False),
        (replace(OPERATION, hosts_done=3), False),
        (replace(OPERATION, state=State.COMMITTED, settling=True), True),
        (replace(OPERATION, state=State.COMMITTED, ended=True), True),
        (replace(OPERATION, state=State.ROLLED_BACK, ended=True), True),
        (replace(OPERATION, state=State.ABANDONED, ended=True), True),
        (ROLLING, False),
        (replace(ROLLING, settling=True), False),
        (replace(ROLLING, pending_hosts=(N1,)), False),
        (replace(ROLLING, pending_hosts=(N1, N2), stalled_hosts=(N2,)), False),
        (replace(ROLLING, pending_hosts=(N2,), stalled_hosts=(N2,)), True),
        (replace(ROLLING, pending_hosts=(N1, N2), stalled_hosts=(N1, N2)), True),
    ],
)
def test_a_caller_is_answered_once_nothing_but_absent_hosts_is_left(
    operation: Status, expected: bool
) -> None:
    assert answered(operation) is expected


@pytest.mark.parametrize("state", State)
def test_only_a_committed_operation_is_committed(state: State) -> None:
    assert result_of(replace(OPERATION, state=state), ()).committed is (state is State.COMMITTED)


def test_a_result_says_what_became_of_each_host() -> None:
    step = Step(
        host=N1,
        before=Seen(Presence.PRESENT, "{}"),
        outcome=Outcome.UNKNOWN,
        undo=Undo.RESTORED,
        reason="all 5 writes spent (500)",
        lost_fields=("quota",),
        attempts=(attempt("a"), attempt("b", undo=True)),
    )

    result = result_of(replace(ROLLING, pending_hosts=(N2,), reason="node1: 500"), [step, Step(N2)])

    assert (result.operation_id, result.group, result.reason) == ("7f3c", "team-a", "node1: 500")
    assert result.pending_hosts == (N2,)
    one, two = result.hosts
    assert (one.host, one.before, one.outcome, one.undo) == (N1, "present", "unknown", "restored")
    assert (one.attempts, one.reason, one.lost_fields) == (2, "all 5 writes spent (500)", ("quota",))
    assert (two.before, two.outcome, two.undo, two.attempts) == (None, None, "none", 0)
